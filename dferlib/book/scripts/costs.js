// What every model reaches against one of its costs. `root.fim` tells what is shown: the cost, the front, the model.
const LEFT = 40, RIGHT = 14, TOP = 12, LOW = 44; // pixels: the margins of the drawing
const WIDE = 560; // pixels: from here on more names have room

// Those that nobody beats: for each, no other one costs as little or less and has a higher UAR. The cheapest first.
const front = (models, cost) => {
  const found = [];
  const sorted = models.filter((one) => one.costs[cost] !== null);
  sorted.sort((a, b) => a.costs[cost] - b.costs[cost] || b.uar[0] - a.uar[0]);
  for (const one of sorted) if (!found.length || one.uar[0] > found.at(-1).uar[0]) found.push(one);
  return found;
};

// A number with three digits that count, and its unit.
const amount = (value, unit) => {
  const text = value.toLocaleString("en", value >= 100 ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: 3 });
  return `${text}${unit ? ` ${unit}` : ""}`;
};
const percent = (part) => digits(100 * part, 1);

const words = (one, data, cost, best) => {
  const [value, low, high] = one.uar.map(percent);
  const costs = Object.entries(data.costs).filter(([key]) => one.costs[key] !== null);
  const name = (key, text) => (key === "paper_ms" ? text.replace("milliseconds of ", "") : text);
  const told = costs.map(([key, [text, unit]]) => `${name(key, text)} ${amount(one.costs[key], unit)}`);
  const price = one.costs[cost];
  const cheaper = best.filter((other) => other !== one && other.costs[cost] <= price && other.uar[0] >= one.uar[0]);
  const place =
    price === null ? "This cost was not measured." :
    best.includes(one) ? "It is on the front: nothing that costs as little reaches as much." :
    `${cheaper.at(-1).name} costs less and reaches ${percent(cheaper.at(-1).uar[0])} %.`;
  const late = one.waiting ? " Its record is of the faces as they were rendered before, and waits to be made again." : "";
  const printed = one.printed ? ` Printed: ${one.printed}.` : "";
  return `${one.name}: UAR ${value} % (${low} to ${high}), ${one.seeds} seeds; it ${data.starts[one.start]}.${late} ${place} A clip: ${told.join("; ")}.${printed}`;
};

const start = (root, data) => {
  const area = root.querySelector(".fim-plot-of-costs");
  const lines = new Map([...root.querySelectorAll("tbody")].map((line) => [line.dataset.model, line]));
  const put = controls(root, () => show());
  let chosen = data.models[0];

  const show = () => {
    const cost = put.cost.value;
    const best = front(data.models, cost);
    const places = draw(area, data, cost, best, chosen);
    root.querySelector(".fim-said").textContent = words(chosen, data, cost, best);
    for (const [name, line] of lines) {
      line.classList.toggle("chosen", name === chosen.name);
      line.querySelector("button").setAttribute("aria-pressed", name === chosen.name);
    }
    root.fim = { cost, front: best.map(({ name }) => name), chosen: chosen.name, places, amount };
  };
  const choose = (one) => {
    if (!one || one === chosen) return;
    chosen = one;
    show();
  };

  for (const [name, line] of lines) line.querySelector("button").onclick = () => choose(data.models.find((one) => one.name === name));
  // the nearest point follows the mouse, and a finger that taps
  const nearest = (event) => {
    const box = area.querySelector("svg").getBoundingClientRect();
    const far = ({ x, y }) => Math.hypot(event.clientX - box.left - x, event.clientY - box.top - y);
    const sorted = [...root.fim.places].sort((a, b) => far(a) - far(b));
    if (sorted.length && far(sorted[0]) < 40) choose(data.models.find(({ name }) => name === sorted[0].name));
  };
  area.addEventListener("pointermove", (event) => event.pointerType === "mouse" && nearest(event));
  area.addEventListener("pointerdown", nearest);
  area.addEventListener("keydown", (event) => {
    const along = { ArrowLeft: -1, ArrowRight: 1 }[event.key], up = { ArrowDown: -1, ArrowUp: 1 }[event.key];
    if (!along && !up) return;
    event.preventDefault();
    const by = along ? (one) => one.costs[put.cost.value] : (one) => one.uar[0];
    const sorted = data.models.filter((one) => one.costs[put.cost.value] !== null).sort((a, b) => by(a) - by(b));
    choose(sorted[sorted.indexOf(chosen) + (along || up)]);
  });
  root.querySelector("details").open = area.clientWidth >= WIDE; // on a phone it is long
  keys(root.querySelector(".fim-keys"), data);
  let wide = area.clientWidth;
  new ResizeObserver(() => {
    if (area.clientWidth === wide) return;
    wide = area.clientWidth;
    show();
  }).observe(area);
  show();
};

// What the signs stand for.
const keys = (list, data) => {
  const entry = (text, draw) => {
    const line = make(list, "li");
    draw(make(line, "svg", { viewBox: "0 0 18 14", "aria-hidden": "true" }));
    make(line, "span", {}, text);
  };
  for (const start of Object.keys(data.starts).filter((key) => data.models.some((one) => one.start === key)))
    entry(data.starts[start], (svg) => make(make(svg, "g", { class: `fim-point ${start}` }), "circle", { cx: 9, cy: 7, r: 5 }));
  if (data.models.some(({ waiting }) => waiting))
    entry("* record waits to be made again", (svg) => make(make(svg, "g", { class: "fim-point waiting" }), "path", { d: "M9 0V14" }));
  entry("the front", (svg) => make(svg, "path", { class: "fim-front", d: "M0 11H9V3H18" }));
};

const ticks = (least, most) => {
  for (const parts of [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 4, 6, 8]]) {
    const found = [];
    for (let k = Math.floor(Math.log10(least)); k <= Math.log10(most); k++) for (const part of parts) found.push(part * 10 ** k);
    const inside = found.filter((value) => value >= least && value <= most);
    if (inside.length >= 3) return inside;
  }
  return [least, most];
};

// Draw all of it; where each point lies, in pixels.
const draw = (area, data, cost, best, chosen) => {
  area.replaceChildren();
  const models = data.models.filter((one) => one.costs[cost] !== null);
  const wide = Math.max(280, area.clientWidth), high = wide < WIDE ? 340 : 400;
  const picture = make(area, "svg", { class: "fim-chart", viewBox: `0 0 ${wide} ${high}`, "aria-hidden": "true" });
  const prices = models.map((one) => one.costs[cost]);
  const [least, most] = [Math.min(...prices) / 1.25, Math.max(...prices) * (wide < WIDE ? 1.25 : 1.6)]; // room for a name
  const top = Math.min(1, Math.ceil(10 * Math.max(...models.map((one) => one.uar[2])) + 0.1) / 10);
  const x = (price) => LEFT + ((wide - LEFT - RIGHT) * Math.log(price / least)) / Math.log(most / least);
  const y = (part) => TOP + (high - TOP - LOW) * (1 - part / top);
  const line = (kind, d) => make(picture, "path", { class: kind, d });
  const text = (words, place) => make(picture, "text", place, words);

  for (let k = 0; k <= Math.round(10 * top); k += 2) {
    line("fim-grid", `M${LEFT} ${y(k / 10)}H${wide - RIGHT}`);
    text(10 * k, { x: LEFT - 6, y: y(k / 10) + 4, "text-anchor": "end" });
  }
  line("fim-frame", `M${LEFT} ${TOP}V${high - LOW}H${wide - RIGHT}`);
  for (const value of ticks(least, most)) {
    line("fim-frame", `M${x(value)} ${high - LOW}v4`);
    text(value.toLocaleString("en"), { x: x(value), y: high - LOW + 17, "text-anchor": "middle" });
  }
  const [name, unit] = data.costs[cost];
  const title = `${name[0].toUpperCase()}${name.slice(1)}${unit === "ms" ? "" : `, ${unit}`}`;
  text(title, { x: (LEFT + wide - RIGHT) / 2, y: high - 6, "text-anchor": "middle" });
  text("UAR in %", { x: LEFT + 6, y: TOP + 10 });
  line("fim-chance", `M${LEFT} ${y(data.chance)}H${wide - RIGHT}`);
  text("chance", { x: wide - RIGHT, y: y(data.chance) + 14, "text-anchor": "end" });

  // a staircase: below and right of it somebody is as cheap and better
  const steps = best.map((one, k) => `${k ? `H${x(one.costs[cost])}V` : `M${x(one.costs[cost])} `}${y(one.uar[0])}`);
  line("fim-front", `${steps.join("")}H${wide - RIGHT}`);

  const places = models.map((one) => ({ name: one.name, x: x(one.costs[cost]), y: y(one.uar[0]) }));
  const taken = places.map((one) => [one.x - 7, one.y - 7, one.x + 7, one.y + 7]);
  const rank = (one) => (one === chosen ? 0 : best.includes(one) ? 1 : 2);
  const named = models.map((one, k) => ({ one, at: places[k] })).sort((a, b) => rank(a.one) - rank(b.one));
  const layers = new Map();
  for (const { one, at } of [...named].reverse()) {
    const kinds = ["fim-point", one.start, one.waiting ? "waiting" : "", one === chosen ? "chosen" : ""];
    const group = make(picture, "g", { class: kinds.join(" "), "data-model": one.name });
    make(group, "path", { d: `M${at.x} ${y(one.uar[1])}V${y(one.uar[2])}` });
    make(group, "circle", { cx: at.x, cy: at.y, r: 5 });
    if (one === chosen) make(group, "circle", { class: "fim-ring", cx: at.x, cy: at.y, r: 9.5 });
    layers.set(one, group);
  }
  const inside = (box) => box[0] >= LEFT && box[2] <= wide && box[1] >= 0 && box[3] <= high - LOW;
  for (const { one, at } of named) {
    const words = `${one.name}${one.waiting ? "*" : ""}`;
    const broad = 6.3 * words.length + 4;
    const sides = [[11, 4, "start"], [-11, 4, "end"], [9, -8, "start"], [-9, -8, "end"], [9, 16, "start"], [-9, 16, "end"], [0, -13, "middle"], [0, 22, "middle"]];
    for (const [right, down, anchor] of sides) {
      const from = at.x + right - broad * { start: 0, middle: 0.5, end: 1 }[anchor];
      const box = [from, at.y + down - 11, from + broad, at.y + down + 3];
      const free = taken.every((other) => box[2] < other[0] || box[0] > other[2] || box[3] < other[1] || box[1] > other[3]);
      if (!inside(box) || (!free && !(one === chosen && right === -9))) continue;
      make(layers.get(one), "text", { x: at.x + right, y: at.y + down, "text-anchor": anchor }, words);
      taken.push(box);
      break;
    }
  }
  return places;
};
