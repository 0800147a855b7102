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
