// What every interactive figure begins with. All of it stands in a function of its own: nothing is global.
const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

// Make an element with attributes inside a parent.
const make = (parent, tag, attributes = {}, text = "") => {
  const svg = parent.namespaceURI.endsWith("svg") || tag === "svg";
  const one = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) one.setAttribute(name, value);
  one.textContent = text;
  parent.append(one);
  return one;
};

// The sliders and choices of a figure by their key. `changed` is told of every change.
const controls = (root, changed) => {
  const found = {};
  for (const one of root.querySelectorAll("[data-key]")) {
    found[one.dataset.key] = one;
    one.addEventListener("input", changed);
  }
  return found;
};

// Show where a slider stands: its line, the value beside it, and words for those who listen.
const tell = (slider, text, words = text) => {
  slider.style.setProperty("--at", (slider.value - slider.min) / (slider.max - slider.min));
  slider.setAttribute("aria-valuetext", words);
  slider.parentNode.querySelector("b").textContent = text;
};

// A number as readers write it: a true minus sign, and no minus before zero.
const digits = (value, count) => {
  const text = value.toFixed(count);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "\u2212");
};

// Numbers from 0 to 1 by mulberry32: the same seed gives the same ones everywhere.
const generator = (seed) => () => {
  seed = (seed + 0x6d2b79f5) | 0;
  let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
};

// A step between ticks such that about `count` of them fill a range.
const stepOf = (range, count) => {
  const raw = range / count;
  const ten = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map((one) => one * ten).find((one) => one >= raw);
};

// An empty chart: its places, its upright axis, and what stands below it.
const chart = (parent, [first, last], [low, high], ticks, name, words) => {
  const [WIDE, HIGH, EDGE] = [340, 210, { left: 34, right: 8, top: 8, bottom: 34 }];
  parent.replaceChildren();
  const svg = make(parent, "svg", { class: "fim-chart", viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": words });
  const x = (value) => EDGE.left + ((value - first) / (last - first)) * (WIDE - EDGE.left - EDGE.right);
  const y = (value) => HIGH - EDGE.bottom - ((value - low) / (high - low)) * (HIGH - EDGE.top - EDGE.bottom);
  const step = stepOf(high - low, 5);
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9; k++) {
    make(svg, "path", { class: "grid", d: `M${EDGE.left} ${y(k * step)}H${WIDE - EDGE.right}` });
    make(svg, "text", { class: "tick", x: EDGE.left - 6, y: y(k * step) + 4, "text-anchor": "end" }, digits(k * step, step < 1 ? 1 : 0));
  }
  for (const tick of ticks)
    make(svg, "text", { class: "tick", x: x(tick), y: HIGH - EDGE.bottom + 15, "text-anchor": tick === last ? "end" : "middle" }, tick);
  make(svg, "text", { x: (WIDE + EDGE.left) / 2, y: HIGH - 4, "text-anchor": "middle" }, name);
  const level = (kind, value) => make(svg, "path", { class: kind, d: `M${EDGE.left} ${y(value)}H${WIDE - EDGE.right}` });
  return { svg, x, y, level };
};

// A place for a chart below its title, and above the keys of its lines.
const drawing = (side, title, keys) => {
  make(side, "p", { class: "fim-title" }, title);
  const place = make(side, "div");
  const list = make(side, "ul", { class: "fim-keys-of-lines" });
  for (const [kind, name] of keys) {
    const line = make(list, "li");
    make(make(line, "svg", { viewBox: "0 0 22 6", "aria-hidden": "true" }), "path", { class: kind, d: "M0 3H22" });
    make(line, "span", {}, name);
  }
  return place;
};

// Start every figure on the page with this key that does not run yet. A notebook may run the script before the figure
// is there, so it is looked for again.
const begin = (key, data, tries = 40) => {
  const found = document.querySelectorAll(`[data-fim="${key}"]:not(.live)`);
  for (const root of found) {
    root.classList.add("live");
    start(root, data);
  }
  if (!found.length && tries) setTimeout(() => begin(key, data, tries - 1), 50);
};
