// Which logits four losses push, and where they take them. `root.fim` is for other scripts.
const WIDE = 150;
const HIGH = 96;
const REACHES = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10]; // of the bars of a gradient

const sum = (values) => values.reduce((whole, one) => whole + one, 0);
const logSoftmax = (logits) => {
  const top = Math.max(...logits);
  const whole = top + Math.log(sum(logits.map((one) => Math.exp(one - top))));
  return logits.map((one) => one - whole);
};

// Cross entropy with a part of the target shared out over all classes: value and gradient.
const entropy = (logits, target, smoothing) => {
  const logs = logSoftmax(logits);
  const aims = logits.map((_, c) => smoothing / logits.length + (c === target ? 1 - smoothing : 0));
  return { value: -sum(logs.map((one, c) => aims[c] * one)), gradient: logs.map((one, c) => Math.exp(one) - aims[c]) };
};

// The compact term (Eq. 18 to 20 of STT): value and gradient.
const compactTerm = (logits, target, form) => {
  const wrong = logits.map((_, c) => c).filter((c) => c !== target);
  const count = wrong.length;
  const logs = logSoftmax(wrong.map((c) => logits[c])); // p'
  const over = logs.map((one) => one + Math.log(count)); // log of p' / u'
  const first = -sum(over) / count; // D(u'||p')
  const second = form === "kl" ? sum(logs.map((one, k) => Math.exp(one) * over[k])) : count * first;
  const gradient = logits.map(() => 0);
  wrong.forEach((c, k) => {
    const part = Math.exp(logs[k]);
    gradient[c] = part - 1 / count + (form === "kl" ? part * (over[k] - second) : count * part - 1);
  });
  return { value: first + second, gradient };
};

// One of the four losses: value and gradient.
const loss = (name, logits, target, beta, smoothing) => {
  if (name === "cross_entropy") return entropy(logits, target, 0);
  if (name === "label_smoothing") return entropy(logits, target, smoothing);
  const [one, other] = [entropy(logits, target, 0), compactTerm(logits, target, name)];
  return {
    value: one.value + (beta / 2) * other.value,
    gradient: one.gradient.map((push, c) => push + (beta / 2) * other.gradient[c]),
  };
};

const descend = (name, logits, target, beta, smoothing, rate, steps) => {
  for (let step = 0; step < steps; step++) {
    const { gradient } = loss(name, logits, target, beta, smoothing);
    logits = logits.map((one, c) => one - rate * gradient[c]);
  }
  return logits;
};

// Logits as bars from zero.
const bars = (parent, logits, target, low, high, data, words) => {
  parent.replaceChildren();
  const svg = make(parent, "svg", { class: "fim-chart", viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": words });
  const y = (value) => 3 + ((high - value) / (high - low)) * (HIGH - 6);
  const wide = WIDE / logits.length;
  logits.forEach((one, c) => {
    const box = { x: c * wide + 2, width: wide - 4, y: y(Math.max(one, 0)), height: Math.abs(y(one) - y(0)) };
    make(svg, "rect", { ...box, rx: 1.5, fill: data.colours[c], class: c === target ? "true" : "" });
  });
  make(svg, "path", { d: `M0 ${y(0)}H${WIDE}` });
};

const start = (root, data) => {
  const { classes, names, smoothing, rate } = data;
  const keys = Object.keys(names);
  const all = (selector) => [...root.querySelectorAll(selector)];
  const [head, ...rows] = all(".fim-logit");
  const counter = root.querySelector(".fim-steps > span");
  const rests = keys.map((key) => {
    const box = make(root.querySelector(".fim-rests"), "div");
    make(box, "p", { class: "fim-title" }, names[key]);
    const place = make(box, "div");
    const list = make(box, "dl");
    const told = ["true class", "spread of wrong", "largest push"].map((name) => {
      make(list, "dt", {}, name);
      return make(list, "dd");
    });
    return { key, place, told };
  });
  let steps = 0;
  let reached = {};

  const now = () => ({
    logits: classes.map((_, c) => Number(found[`logit${c}`].value)),
    target: Number(found.target.value),
    beta: Number(found.beta.value),
  });
  const percent = (part) => `${digits(100 * part, 1)} %`;
  const sure = (logits, target) => Math.exp(logSoftmax(logits)[target]);

  // The upper half: the chosen loss at the sliders. It returns what to say.
  const push = ({ logits, target, beta }) => {
    const name = found.loss.value;
    const compact = name === "kl" || name === "printed";
    tell(found.beta, digits(beta, 1));
    found.beta.disabled = !compact;
    const { value, gradient } = loss(name, logits, target, beta, smoothing);
    const hardest = Math.max(...gradient.map(Math.abs));
    const reach = REACHES.find((one) => one >= hardest) ?? hardest;
    head.children[2].textContent = `gradient, bars to ${reach} (↑ pushed up, ↓ down)`;
    const parts = logSoftmax(logits).map(Math.exp);
    rows.forEach((row, c) => {
      tell(found[`logit${c}`], digits(logits[c], 1));
      row.classList.toggle("true", c === target);
      const [, part, bar, number] = row.children;
      part.textContent = percent(parts[c]);
      bar.style.setProperty("--v", gradient[c] / reach);
      bar.classList.toggle("up", gradient[c] < 0);
      const text = digits(gradient[c], 3);
      number.textContent = `${Number(text) > 0 ? "+" : ""}${text} ${Math.abs(gradient[c]) < 5e-4 ? "·" : gradient[c] < 0 ? "↑" : "↓"}`;
    });
    const rivals = gradient.map((one, c) => (c === target ? -Infinity : one));
    const rival = rivals.indexOf(Math.max(...rivals));
    const pressed = rivals[rival] < 5e-4 ? "No wrong class is pressed down." : `Of the wrong ones it presses ${classes[rival]} down hardest.`;
    return `${names[name]} is ${digits(value, 3)}; ${classes[target]} is true and has ${percent(parts[target])}. ${pressed}`;
  };

  const draw = () => {
    const { logits, target, beta } = now();
    let words = push({ logits, target, beta });
    const ends = Object.values(reached).flat();
    const [low, high] = [Math.min(-1, ...ends), Math.max(1, ...ends)];
    for (const { key, place, told } of rests) {
      const there = reached[key];
      const wrong = there.filter((_, c) => c !== target);
      const shown = [
        percent(sure(there, target)),
        digits(Math.max(...wrong) - Math.min(...wrong), 2),
        digits(Math.max(...loss(key, there, target, beta, smoothing).gradient.map(Math.abs)), 4),
      ];
      told.forEach((one, k) => (one.textContent = shown[k]));
      const list = classes.map((name, c) => `${name} ${digits(there[c], 1)}`).join(", ");
      bars(place, there, target, low, high, data, `Logits under ${names[key]}: ${list}`);
    }
    counter.textContent = steps ? `after ${steps.toLocaleString("en")} steps` : "at the sliders";
    if (steps) {
      const list = keys.map((key) => `${names[key]} ${percent(sure(reached[key], target))}`).join(", ");
      words += ` After ${steps.toLocaleString("en")} steps the true class has: ${list}.`;
    }
    root.querySelector(".fim-said").textContent = words[0].toUpperCase() + words.slice(1);
  };

  const back = () => {
    steps = 0;
    reached = Object.fromEntries(keys.map((key) => [key, now().logits]));
    draw();
  };
  const found = controls(root, (event) => (event.target === found.loss ? draw() : back()));
  for (const button of all("[data-action]"))
    button.onclick = () => {
      const more = Number(button.dataset.action);
      if (!more) return back();
      const { target, beta } = now();
      for (const key of keys) reached[key] = descend(key, reached[key], target, beta, smoothing, rate, more);
      steps += more;
      draw();
    };
  root.fim = { loss, descend };
  back();
};
