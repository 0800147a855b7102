// How many clips get an answer above a threshold, and how many answers are right. `root.fim` tells what is shown.
const WIDE = 340, HIGH = 220;
const EDGE = { left: 34, right: 10, top: 8, bottom: 36 };
const LINES = [["right", "right, of at least five answers"], ["claimed", "what it claims: its mean confidence"], ["answered", "clips with an answer"]];

const FEW = 5; // answers: below that their share jumps
const percent = (part, count = 0) => `${digits(100 * part, count)}\u00a0%`;
const x = (part) => EDGE.left + part * (WIDE - EDGE.left - EDGE.right);
const y = (part) => EDGE.top + (1 - part) * (HIGH - EDGE.top - EDGE.bottom);

// What is left above threshold number k.
const at = (one, k) => {
  const count = one.answered[k], right = one.right[k];
  return { count, right, answered: count / one.clips, part: count ? right / count : null, claimed: one.claimed[k], low: one.low[k], high: one.high[k] };
};

const draw = (area, title, one, k, chosen) => {
  area.replaceChildren();
  make(area, "p", { class: "fim-title" }, title);
  if (!one) return make(area, "p", { class: "fim-note" }, "Nobody has shown it any.");
  const last = one.answered.length;
  const svg = make(area, "svg", { class: "fim-chart", viewBox: `0 0 ${WIDE} ${HIGH}`, "aria-hidden": "true" });
  const line = (kind, d) => make(svg, "path", { class: kind, d });
  for (const part of [0, 0.25, 0.5, 0.75, 1]) {
    line("grid", `M${EDGE.left} ${y(part)}H${WIDE - EDGE.right}`);
    make(svg, "text", { x: EDGE.left - 6, y: y(part) + 4, "text-anchor": "end" }, 100 * part);
    make(svg, "text", { x: x(part), y: HIGH - EDGE.bottom + 15, "text-anchor": "middle" }, part);
  }
  make(svg, "text", { x: (WIDE + EDGE.left) / 2, y: HIGH - 4, "text-anchor": "middle" }, "threshold; upwards %");
  const all = [...Array(last).keys()].map((j) => at(one, j));
  const some = all.map((point, j) => ({ ...point, j })).filter(({ count }) => count >= FEW);
  const points = (found, key) => found.map((point) => `${x(point.j / last).toFixed(1)} ${y(point[key]).toFixed(1)}`);
  line("band", `M${[...points(some, "low"), ...points(some, "high").reverse()].join("L")}Z`);
  line("claimed", `M${points(some, "claimed").join("L")}`);
  line("answered", `M${points(all.map((point, j) => ({ ...point, j })), "answered").join("L")}`);
  line("right", `M${points(some, "part").join("L")}`);
  line("cursor", `M${x(k / last)} ${EDGE.top}V${HIGH - EDGE.bottom}`);
  const now = all[k];
  make(svg, "circle", { class: "answered", cx: x(k / last), cy: y(now.answered), r: 4.5 });
  if (now.count) make(svg, "circle", { class: "right", cx: x(k / last), cy: y(now.part), r: 4.5 });
  // the threshold can be dragged in the drawing, too
  const put = (event) => {
    const box = svg.getBoundingClientRect();
    chosen(((event.clientX - box.left) / box.width * WIDE - EDGE.left) / (WIDE - EDGE.left - EDGE.right));
  };
  svg.addEventListener("pointerdown", put);
  svg.addEventListener("pointermove", (event) => event.buttons && put(event));
};

const words = (source, one, k) => {
  const { count, right, answered, part, claimed, low, high } = at(one, k);
  if (!count) return `Of ${one.clips.toLocaleString("en")} ${source} it answers none.`;
  const honest = claimed < low ? "and is right more often" : claimed > high ? "and is right less often" : "which may be so";
  return `Of ${one.clips.toLocaleString("en")} ${source} it answers ${percent(answered)}; ${right.toLocaleString("en")} of ${count.toLocaleString("en")} answers are right, ${percent(part, 1)} (${digits(100 * low, 1)} to ${digits(100 * high, 1)}). It claims ${percent(claimed, 1)}, ${honest}.`;
};

const start = (root, data) => {
  const put = controls(root, () => show());
  const list = root.querySelector(".fim-keys-of-lines");
  for (const [kind, name] of LINES) {
    const entry = make(list, "li");
    make(make(entry, "svg", { viewBox: "0 0 26 6", "aria-hidden": "true" }), "path", { class: kind, d: "M0 3H26" });
    make(entry, "span", {}, name);
  }
  const rows = table(root.querySelector(".fim-all-models"), data);
  const chosen = (part) => {
    put.threshold.value = Math.max(0, Math.min(0.99, part));
    show();
  };
  const show = () => {
    const name = put.model.value, k = Math.round(100 * Number(put.threshold.value));
    const mine = data.models[name];
    tell(put.threshold, (k / 100).toFixed(2));
    for (const area of root.querySelectorAll("[data-source]")) {
      const source = data.sources[area.dataset.source];
      draw(area, source[0].toUpperCase() + source.slice(1), mine[area.dataset.source], k, chosen);
    }
    const told = Object.entries(data.sources).filter(([source]) => mine[source]);
    root.querySelector(".fim-said").textContent =
      `${name}, threshold ${(k / 100).toFixed(2)}. ${told.map(([source, text]) => words(text, mine[source], k)).join(" ")}`;
    for (const row of rows) {
      row.line.classList.toggle("chosen", row.name === name);
      row.cells.forEach(([source, answered, right]) => {
        const one = data.models[row.name][source] && at(data.models[row.name][source], k);
        answered.textContent = one ? percent(one.answered) : "";
        right.textContent = one?.count ? percent(one.part) : "";
        if (one?.count) make(right, "small", {}, `${digits(100 * one.low, 0)} to ${digits(100 * one.high, 0)}`);
      });
    }
    root.fim = { threshold: k / 100, now: Object.fromEntries(told.map(([source]) => [source, at(mine[source], k)])) };
  };
  show();
};

// A row for each model, filled anew as the threshold moves.
const table = (area, data) => {
  const whole = make(area, "table");
  make(whole, "caption", {}, "All models at this threshold");
  const head = make(whole, "thead");
  const [groups, top] = [make(head, "tr"), make(head, "tr")];
  make(groups, "th", { scope: "col" });
  make(top, "th", { scope: "col" }, "model");
  const sources = Object.entries(data.sources);
  for (const [, text] of sources) {
    make(groups, "th", { scope: "colgroup", colspan: 2 }, text);
    for (const words of ["answered", "right"]) make(top, "th", { scope: "col" }, words);
  }
  const body = make(whole, "tbody");
  return Object.keys(data.models).map((name) => {
    const line = make(body, "tr");
    make(line, "th", { scope: "row" }, name);
    return { name, line, cells: sources.map(([source]) => [source, make(line, "td"), make(line, "td")]) };
  });
};
