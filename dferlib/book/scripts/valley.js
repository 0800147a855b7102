// What local and global attention cost together against the tokens of a window, on logarithmic axes, beside divided and
// joint attention. `root.fim` tells what is shown: the dots, the two lines, and for which windows Eq. 9 holds.
const HIGH = 320, LEFT = 46, RIGHT = 8, TOP = 12, LOW = 40; // pixels: the drawing, and its margins
const COLOURS = { pair: "#d55e00", divided: "#009e73", joint: "#0072b2" };

const divisors = (number) => [...Array(number).keys()].map((k) => k + 1).filter((k) => number % k === 0);
const ascending = (numbers) => [...new Set(numbers)].sort((a, b) => a - b);
const windowSizes = (F, side, square) => {
  const sides = divisors(side);
  const planes = sides.flatMap((h) => sides.filter((w) => h === w || !square).map((w) => h * w));
  return ascending(divisors(F).flatMap((f) => planes.map((plane) => f * plane)));
};
const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

// Keys that a query sees, or all multiply-accumulates: four projections a layer, but of global attention's keys and
// values only one for each window; and each query against each key and value.
const costs = (F, S, D, all) => {
  const n = F * S;
  const full = (projected, keys) => (all ? projected * D * D + 2 * n * keys * D : keys);
  return {
    joint: full(4 * n, n),
    divided: full(8 * n, F + S),
    pair: (g) => full(6 * n + (2 * n) / g, g + n / g),
  };
};

const start = (root, data) => {
  const put = controls(root, () => show());
  const area = root.querySelector(".fim-plot-of-valley");
  const show = () => {
    const [F, side] = [Number(put.frames.value), Number(put.side.value)];
    const [square, all, S] = [put.square.value === "1", put.all.value === "1", side * side];
    tell(put.frames, F, plural(F, "frame"));
    tell(put.side, `${side} × ${side}`, `${side} rows and columns`);
    const of = costs(F, S, data.D, all);
    const dots = windowSizes(F, side, square).map((g) => ({ g, y: of.pair(g), holds: of.pair(g) < of.divided }));
    const best = Math.min(...dots.map(({ y }) => y));
    const shown = { F, S, all, of, dots, best: dots.filter(({ y }) => y === best), ends: ends(F, S, data.D, all) };
    draw(area, shown);
    keys(root, shown);
    root.querySelector(".fim-said").textContent = words(shown, square);
    for (const one of root.querySelectorAll("[data-action]"))
      one.setAttribute("aria-pressed", one.dataset.action === `${F},${side}`);
    root.fim = { dots: dots.map(({ g, y }) => [g, y]), held: dots.filter(({ holds }) => holds).map(({ g }) => g), joint: of.joint, divided: of.divided, best: shown.best.map(({ g }) => g), ends: shown.ends };
  };
  for (const one of root.querySelectorAll("[data-action]"))
    one.onclick = () => {
      [put.frames.value, put.side.value] = one.dataset.action.split(",");
      show();
    };
  let wide = area.clientWidth;
  new ResizeObserver(() => {
    if (area.clientWidth === wide) return;
    wide = area.clientWidth;
    show();
  }).observe(area);
  show();
};

// Between which sizes the pair costs less than divided attention: the roots of g² − (F + HW) g + n, and with the
// projections of g² − (D + F + HW) g + n + D. Nothing where they are one.
const ends = (F, S, D, all) => {
  const half = (F + S + (all ? D : 0)) / 2;
  const root = Math.sqrt(half * half - F * S - (all ? D : 0));
  return root > 0 ? [half - root, half + root] : null;
};

const words = ({ F, S, all, of, dots, best }, square) => {
  const held = dots.filter(({ holds }) => holds).map(({ g }) => g);
  const kind = square ? "square windows" : "windows";
  const listed = held.length > 6 ? `g from ${held[0]} to ${held[held.length - 1]}` : `g = ${held.join(", ")}`;
  const first = held.length
    ? `“Local + global < divided” holds for ${held.length} of ${plural(dots.length, "size")} of ${kind}: ${listed}.`
    : `“Local + global < divided” holds for none of the ${plural(dots.length, "size")} of ${kind}.`;
  const second = of.divided < of.joint ? "“Divided < joint” holds." : "“Divided < joint” does not hold.";
  const least = all ? "costs least" : `is best, with ${plural(best[0].y, "key")} for a query`;
  const sign = best[0].y < of.joint ? (all ? "less than" : "fewer than") : best[0].y === of.joint ? "as much as" : "more than";
  return `${first} ${second} A window of g = ${best.map(({ g }) => g).join(" or ")} ${least}: ${sign} joint attention${all ? "" : `, with ${plural(F * S, "key")}`}.`;
};

const keys = (root, { all, of, best }) => {
  const list = root.querySelector(".fim-keys");
  list.replaceChildren();
  const unit = (value) => (all ? `${(value / 1e6).toLocaleString("en", { maximumFractionDigits: 1 })} M` : plural(value, "key"));
  for (const [kind, name, value] of [["pair", "local + global at its best", best[0].y], ["divided", "divided", of.divided], ["joint", "joint", of.joint]]) {
    const entry = make(list, "li", { style: `--c:${COLOURS[kind]}` });
    make(entry, "span", {}, `${name}: `);
    make(entry, "b", { "data-of": kind }, unit(value));
  }
};

const draw = (area, { F, S, all, of, dots, best, ends }) => {
  area.replaceChildren();
  make(area, "p", { class: "fim-note" }, all ? "Million multiply-accumulates" : "Keys a query sees");
  const WIDE = Math.max(280, area.clientWidth);
  const picture = make(area, "svg", { class: "fim-chart", viewBox: `0 0 ${WIDE} ${HIGH}`, "aria-hidden": "true" });
  const values = [...dots.map(({ y }) => y), of.joint, of.divided];
  const unit = all ? 1e6 : 1;
  const [least, most] = [Math.min(...values) / 1.6, Math.max(...values) * 1.2];
  const steps = Math.max(1, Math.log2(F * S)); // doublings from a window of one token to the whole clip
  const x = (g) => LEFT + ((WIDE - LEFT - RIGHT) * (Math.log2(g) + 0.25)) / (steps + 0.5);
  const y = (value) => TOP + ((HIGH - TOP - LOW) * Math.log(most / value)) / Math.log(most / least);
  const line = (kind, value) => make(picture, "path", { class: `fim-line fim-${kind}`, d: `M${LEFT} ${y(value)}H${WIDE - RIGHT}` });

  if (ends) {
    const [from, to] = ends.map((g) => x(Math.min(F * S, Math.max(1, g))));
    make(picture, "rect", { class: "fim-band", x: from, y: TOP, width: to - from, height: HIGH - TOP - LOW });
  }
  make(picture, "path", { class: "fim-frame", d: `M${LEFT} ${TOP}V${HIGH - LOW}H${WIDE - RIGHT}` });
  for (let k = 0, every = Math.ceil(steps / 8); 2 ** k <= F * S; k += every)
    make(picture, "text", { x: x(2 ** k), y: HIGH - LOW + 16, "text-anchor": "middle" }, `${2 ** k}`);
  for (const value of ticks(least / unit, most / unit)) {
    make(picture, "path", { class: "fim-grid", d: `M${LEFT} ${y(value * unit)}H${WIDE - RIGHT}` });
    make(picture, "text", { x: LEFT - 6, y: y(value * unit) + 4, "text-anchor": "end" }, value.toLocaleString("en"));
  }
  make(picture, "text", { x: (LEFT + WIDE) / 2, y: HIGH - 4, "text-anchor": "middle" }, "g, tokens in a window");

  let curve = "";
  for (let k = 0; k <= 120; k++) {
    const g = 2 ** ((steps * k) / 120);
    if (g <= F * S) curve += `${curve ? "L" : "M"}${x(g).toFixed(1)} ${y(of.pair(g)).toFixed(1)}`;
  }
  make(picture, "path", { class: "fim-curve", d: curve });
  line("joint", of.joint);
  line("divided", of.divided);
  for (const dot of dots) {
    const one = make(picture, "circle", { class: dot.holds ? "fim-spot fim-holds" : "fim-spot", cx: x(dot.g), cy: y(dot.y), r: 5 });
    make(one, "title", {}, `g = ${dot.g}`);
  }
  for (const dot of best) {
    make(picture, "circle", { class: "fim-best", cx: x(dot.g), cy: y(dot.y), r: 9 });
    make(picture, "text", { x: x(dot.g), y: y(dot.y) + 24, "text-anchor": "middle", class: "fim-bold" }, `g = ${dot.g}`);
  }
};

// Round numbers within an interval, on a logarithmic axis: powers of ten, and twice and five times them if these are few.
const ticks = (least, most) => {
  const found = (parts) => {
    const all = [];
    for (let k = Math.floor(Math.log10(least)); k <= Math.log10(most); k++)
      for (const part of parts) all.push(part * 10 ** k);
    return all.filter((value) => value >= least && value <= most);
  };
  const sets = [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 4, 5, 6, 8], [...Array(90).keys()].map((k) => 1 + k / 10)];
  return sets.map(found).find((all) => all.length >= 3) ?? found(sets[4]);
};
