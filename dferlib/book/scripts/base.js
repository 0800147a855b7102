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
