// Which frames some ways to choose take of a clip, and what they see of its expression. The rules are those of
// dferlib.data.sampling, to the last digit: `root.fim.taken` has the frames of each way.
const clip = (value, low, high) => Math.max(low, Math.min(high, value));

// S segments of T frames; `chance` are numbers from 0 to 1 for training, nothing for evaluation.
const segments = (n, S, T, chance = null) => {
  const taken = [];
  const room = n / S - T + 1;
  for (let s = 0; s < S; s++) {
    let first = Math.floor((2 * s * n + n - S * T) / (2 * S));
    if (chance && room > 0) first = Math.floor((s * n) / S + chance[s] * room);
    first = clip(first, 0, Math.max(n - T, 0));
    for (let t = 0; t < T; t++) taken.push(Math.min(first + t, n - 1));
  }
  return taken.sort((a, b) => a - b);
};
const interpolated = (n, count) => {
  if (count === 1) return [Math.floor((n - 1) / 2)];
  return [...Array(count).keys()].map((i) => Math.floor((2 * i * (n - 1) + count - 1) / (2 * (count - 1))));
};
const take = (way, n, S, T, chance) =>
  ({
    evaluation: () => segments(n, S, T),
    training: () => segments(n, S, T, chance),
    dense: () => segments(n, 1, S * T),
    spread: () => segments(n, S * T, 1),
    interpolated: () => interpolated(n, S * T),
  })[way]();

const named = (words, S, T) => words.replace("S × T", `${S} × ${T}`).replace("F", `${S * T}`);
const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

const start = (root, data) => {
  const last = data.expression.length - 1;
  const put = controls(root, () => show());
  const rows = wayRows(root, data, () => show());
  const again = root.querySelector("[data-action=draw]");
  const picture = root.querySelector(".fim-sheet");
  root.style.setProperty("--sheet", `url(${picture.src})`);
  root.style.setProperty("--columns", data.columns);
  let draw = 0;

  // Where among the given frames frame k of n lies, and how far the expression has risen there.
  const place = (k, n) => (n > 1 ? (k * last) / (n - 1) : last / 2);
  const risen = (at) => {
    const below = Math.min(last - 1, Math.floor(at));
    return data.expression[below] + (at - below) * (data.expression[below + 1] - data.expression[below]);
  };

  const show = () => {
    const [n, S, T] = ["n", "S", "T"].map((key) => Number(put[key].value));
    tell(put.n, `${n}`, plural(n, "frame"));
    tell(put.S, `${S}`, plural(S, "segment"));
    tell(put.T, `${T}`, plural(T, "frame"));
    const found = {};
    for (const { way } of rows.all) {
      const frames = take(way, n, S, T, data.draws[draw]);
      const places = frames.map((k) => place(k, n));
      const phases = places.map((at) => data.phase[Math.floor(at + 0.5)]);
      found[way] = {
        frames, places,
        highest: Math.max(...places.map(risen)),
        within: data.phases.slice(1).map((_, k) => phases.filter((one) => one === k + 1).length),
      };
    }
    const way = rows.fill(found, n, S, T);
    course(root, data, n, S, found[way].frames, (k) => risen(place(k, n)));
    faces(root, data, found[way], n);
    const { frames, highest } = found[way];
    const different = new Set(frames).size;
    const phases = data.phases.slice(1).map((name, k) => `${found[way].within[k]} in the ${name}`);
    root.querySelector(".fim-said").textContent =
      `${named(data.ways[way], S, T)}${way === "training" ? `, draw ${draw + 1} of ${data.draws.length}` : ""}: ` +
      `${different} of ${plural(n, "frame")} ${different === 1 ? "is" : "are"} seen` +
      `${different < frames.length ? `, some of them more than once, ${frames.length} in all` : ""}. ` +
      `The highest intensity among them is ${highest.toFixed(2)}; ${phases.join(", ")}.`;
    root.fim = { draw, highest: Object.fromEntries(rows.all.map(({ way }) => [way, found[way].highest])), taken: Object.fromEntries(rows.all.map(({ way }) => [way, found[way].frames])) };
  };
  again.onclick = () => {
    draw = (draw + 1) % data.draws.length;
    rows.choose("training");
    show();
  };
  show();
};

// A row for each way: choose it, see its frames as marks along the clip, and read what it sees.
const wayRows = (root, data, changed) => {
  const area = root.querySelector(".fim-ways");
  const group = `fim-${Math.random()}`; // two figures on a page do not share their buttons
  const head = make(area, "div", { class: "fim-head" });
  for (const text of ["Way", "frames that it takes", "highest", ...data.phases.slice(1)]) make(head, "span", {}, text);
  const all = Object.entries(data.ways).map(([way, words], k) => {
    const row = make(area, "label", { class: "fim-way" });
    const name = make(row, "span", { class: "fim-which" });
    const button = make(name, "input", { type: "radio", name: group, value: way, "aria-label": words });
    button.checked = k === 0;
    button.onchange = changed;
    const text = make(name, "span");
    const line = make(row, "svg", { preserveAspectRatio: "none", "aria-hidden": "true" });
    const numbers = ["highest", ...data.phases.slice(1)].map((what) => make(row, "b", { "data-of": what }));
    return { way, words, row, button, text, line, numbers };
  });
  const fill = (found, n, S, T) => {
    for (const { way, words, row, button, text, line, numbers } of all) {
      const { frames, highest, within } = found[way];
      text.textContent = named(words, S, T);
      row.classList.toggle("fim-chosen", button.checked);
      line.replaceChildren();
      line.setAttribute("viewBox", `0 0 ${n} 10`);
      const cuts = { evaluation: S, training: S, spread: S * T }[way] ?? 1;
      let borders = "";
      for (let s = 0; s <= cuts; s++) borders += `M${(s * n) / cuts} 0V10`;
      make(line, "path", { class: "fim-cut", d: borders });
      const width = Math.max(0.8, n / 110); // of a mark, which is seen however long the clip is
      let marks = "";
      for (const k of new Set(frames)) {
        const twice = frames.indexOf(k) < frames.lastIndexOf(k);
        marks += `M${clip(k + 0.5 - width / 2, 0, n - width)} ${twice ? 0 : 2.5}h${width}v${twice ? 10 : 5}h${-width}z`;
      }
      make(line, "path", { class: "fim-taken", d: marks });
      [highest.toFixed(2), ...within].forEach((value, k) => (numbers[k].textContent = value));
    }
    return all.find(({ button }) => button.checked).way;
  };
  const choose = (way) => (all.find((one) => one.way === way).button.checked = true);
  return { all, fill, choose };
};

// The curve of the expression over its phases, with a dot for each frame that the chosen way takes.
const course = (root, data, n, S, frames, risen) => {
  const area = root.querySelector(".fim-course");
  area.replaceChildren();
  const picture = make(area, "svg", { viewBox: `0 0 ${n} 100`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const last = data.phase.length - 1;
  const right = (at) => 0.5 + (at / last) * (n - 1); // of a given frame
  data.phases.forEach((name, phase) => {
    const [from, to] = [data.phase.indexOf(phase), data.phase.lastIndexOf(phase)];
    if (!phase || from < 0) return;
    const [left, end] = [right(from - 0.5), right(to + 0.5)];
    make(picture, "rect", { class: phase % 2 ? "fim-shade-a" : "fim-shade-b", x: left, y: 0, width: end - left, height: 100 });
    make(area, "span", { class: "fim-phase", style: `left:${(50 * (left + end)) / n}%` }, name);
  });
  const points = data.expression.map((value, k) => `${right(k)},${100 - 100 * value}`);
  make(picture, "polyline", { points: points.join(" ") });
  for (const k of new Set(frames))
    make(area, "i", { class: "fim-dot", style: `left:${(100 * (k + 0.5)) / n}%;top:${100 - 100 * risen(k)}%` });
};

const faces = (root, data, { frames, places }, n) => {
  const area = root.querySelector(".fim-faces");
  area.replaceChildren();
  area.setAttribute("aria-label", `Frames ${frames.join(", ")} of ${n}, counted from 0`);
  area.style.setProperty("--n", clip(frames.length, 6, 16));
  area.style.setProperty("--m", clip(frames.length, 4, 8));
  frames.forEach((k, i) => {
    const nearest = Math.floor(places[i] + 0.5);
    const part = (index, count) => (count > 1 ? (100 * index) / (count - 1) : 0);
    const [x, y] = [part(nearest % data.columns, data.columns), part(Math.floor(nearest / data.columns), data.rows)];
    const one = make(area, "div");
    make(one, "i", { style: `background-position:${x}% ${y}%` });
    make(one, "span", {}, `${k}`);
  });
};
