// Which tokens of a clip a query sees, and what every kind of attention costs. Tokens are numbered frame by frame, row
// by row, as in dferlib. `root.fim` tells other scripts what is shown: the query, and of each token how it is seen.
const HOW = ["not seen", "through others", "in outline", "token by token"]; // how the query sees a token

// Whether query q sees token k by one kind of attention. A token is [frame, row, column], a window [frames, rows].
const SEES = {
  joint: () => true,
  spatial: (q, k) => q[0] === k[0],
  temporal: (q, k) => q[1] === k[1] && q[2] === k[2],
  mixing: (q, k) => Math.abs(q[0] - k[0]) <= 1,
  local: (q, k, [f, h]) => [f, h, h].every((size, axis) => Math.floor(q[axis] / size) === Math.floor(k[axis] / size)),
  global: () => true,
};

// How many keys a query sees.
const keysOf = (step, F, S, [f, h]) => {
  const inside = f * h * h;
  return { joint: F * S, spatial: S, temporal: F, mixing: S, local: inside, global: (F * S) / inside }[step];
};

// Multiply-accumulates: four projections, but of global attention only two and those of its pooled keys and values; and
// each query against each key and value that it sees.
const costOf = (step, F, S, D, window) => {
  const keys = keysOf(step, F, S, window);
  const projected = step === "global" ? 2 * F * S + 2 * keys : 4 * F * S;
  return projected * D * D + 2 * F * S * keys * D;
};

// How the query sees each token after some layers: an index into HOW. What it saw in an earlier layer it keeps, by the
// shortcut; the others come through tokens that saw them before.
const seen = (steps, layers, tokens, query, window) => {
  const order = [...Array(layers).keys()].map((k) => steps[k % steps.length]);
  let from = [query];
  const reached = new Set([query]);
  for (const step of [...order].reverse()) {
    const next = tokens.map((_, k) => k).filter((k) => !reached.has(k) && from.some((q) => SEES[step](tokens[q], tokens[k], window)));
    for (const k of next) reached.add(k);
    from = [...reached];
  }
  const mine = (kinds, k) => kinds.some((step) => SEES[step](tokens[query], tokens[k], window));
  const clear = order.filter((step) => step !== "global");
  return tokens.map((_, k) => {
    if (k === query || mine(clear, k)) return 3;
    return order.includes("global") ? 2 : Number(reached.has(k));
  });
};

const short = (value) => {
  const round = Number(value.toPrecision(3));
  const [size, unit] = [[1e9, " G"], [1e6, " M"], [1e3, " k"], [1, ""]].find(([least]) => round >= least);
  return (round / size).toPrecision(3) + unit;
};
const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

const start = (root, data) => {
  const area = root.querySelector(".fim-tokens");
  const state = { kind: data.kind, query: [0, 0, 0], window: [...data.window] };
  const put = controls(root, () => show());
  const number = (key) => Number(put[key].value);
  const rows = kindRows(root, data, (kind) => {
    state.kind = kind;
    show();
  });
  const [first, place] = data.query;
  state.query = [first, Math.floor(place / number("side")), place % number("side")];

  // The windows that divide the clip; where the one that was chosen does not, the next smaller one is taken.
  const divide = (key, axis, whole) => {
    const sizes = [...Array(whole).keys()].map((k) => k + 1).filter((size) => whole % size === 0);
    const wanted = Number(put[key].value) || state.window[axis];
    state.window[axis] = sizes.filter((size) => size <= wanted).pop();
    put[key].replaceChildren();
    for (const size of sizes) make(put[key], "option", { value: size }, `${size}`);
    put[key].value = state.window[axis];
  };
  for (const [axis, key] of ["f", "h"].entries()) put[key].replaceChildren();

  const show = () => {
    const [F, side, layers, D] = ["frames", "side", "layers", "D"].map(number);
    tell(put.frames, F, plural(F, "frame"));
    tell(put.side, `${side} × ${side}`, `${side} rows and columns`);
    tell(put.layers, layers, plural(layers, "layer"));
    divide("f", 0, F);
    divide("h", 1, side);
    const steps = data.kinds[state.kind];
    const windowed = steps.some((step) => step === "local" || step === "global");
    state.query = state.query.map((at, axis) => Math.min(at, (axis ? side : F) - 1));
    const tokens = [];
    for (let t = 0; t < F; t++) for (let y = 0; y < side; y++) for (let x = 0; x < side; x++) tokens.push([t, y, x]);
    const query = (state.query[0] * side + state.query[1]) * side + state.query[2];
    const how = seen(steps, layers, tokens, query, state.window);
    drawTokens(area, tokens, how, query, F, side, windowed ? state.window : null);
    const count = HOW.map((_, kind) => how.filter((one) => one === kind).length);
    legend(root, count);
    const [t, y, x] = state.query.map((at) => at + 1);
    const keys = keysOf(steps[(layers - 1) % steps.length], F, side * side, state.window);
    const listed = steps.length > 1 ? ` (${[...Array(layers).keys()].map((k) => steps[k % steps.length]).join(", ")})` : "";
    root.querySelector(".fim-said").textContent =
      `${state.kind[0].toUpperCase()}${state.kind.slice(1)} attention, ${plural(layers, "layer")}${listed}: the query in ` +
      `frame ${t}, row ${y}, column ${x} sees ${plural(keys, "key")}${layers > 1 ? " in the last layer" : ""}. ` +
      `${how.filter(Boolean).length} of ${plural(how.length, "token")} reach it` +
      `${count[1] ? `, ${count[1]} of them only through others` : ""}.`;
    rows(F, side * side, D, state);
    root.fim = { how, query, window: state.window };
  };

  const move = (step, axis, size) => {
    const next = state.query[axis] + step;
    if (next < 0 || next >= size) return;
    state.query[axis] = next;
    show();
  };
  area.onkeydown = (event) => {
    const [F, side] = [number("frames"), number("side")];
    const moves = {
      ArrowLeft: [-1, 2, side], ArrowRight: [1, 2, side], ArrowUp: [-1, 1, side], ArrowDown: [1, 1, side],
      PageUp: [-1, 0, F], PageDown: [1, 0, F],
    };
    if (!(event.key in moves) || event.altKey || event.ctrlKey || event.metaKey) return;
    const [step, axis] = moves[event.key];
    const beyond = axis === 2 && (state.query[2] + step < 0 || state.query[2] + step >= side);
    if (beyond && state.query[0] + step >= 0 && state.query[0] + step < F) {
      state.query[2] = step > 0 ? 0 : side - 1; // on into the next frame
      move(step, 0, F);
    } else move(...moves[event.key]);
    event.preventDefault();
  };
  area.onclick = (event) => {
    const map = event.target.closest("svg");
    if (!map) return;
    const box = map.getBoundingClientRect();
    const side = number("side");
    const at = (part) => Math.max(0, Math.min(side - 1, Math.floor(part * side)));
    state.query = [Number(map.dataset.frame), at((event.clientY - box.top) / box.height), at((event.clientX - box.left) / box.width)];
    show();
  };
  show();
};

// The maps of all frames. A token that is seen itself fills its cell, a window seen in outline is one block, and what
// comes through others is a small square.
const drawTokens = (area, tokens, how, query, F, side, window) => {
  area.replaceChildren();
  area.style.setProperty("--n", Math.min(F, 8));
  area.style.setProperty("--m", Math.min(F, 4));
  const path = (t, kind, size, from = 0, step = 1) => {
    let drawn = "";
    tokens.forEach(([frame, y, x], k) => {
      const fits = kind === 2 ? how.includes(2) && y % step === 0 && x % step === 0 : how[k] === kind && k !== query;
      if (frame === t && fits) drawn += `M${x + from} ${y + from}h${size}v${size}h${-size}z`;
    });
    return drawn;
  };
  for (let t = 0; t < F; t++) {
    const frame = make(area, "div", { class: "fim-map" });
    const map = make(frame, "svg", { viewBox: `0 0 ${side} ${side}`, "data-frame": t, "aria-hidden": "true" });
    const h = window ? window[1] : 1;
    make(map, "rect", { class: "fim-paper", width: side, height: side });
    make(map, "path", { class: "fim-outline", d: path(t, 2, h - 0.16, 0.08, h) });
    make(map, "path", { class: "fim-direct", d: path(t, 3, 1) });
    make(map, "path", { class: "fim-through", d: path(t, 1, 0.44, 0.28) });
    const [at, y, x] = tokens[query];
    if (at === t) make(map, "rect", { class: "fim-query", x, y, width: 1, height: 1 });
    let lines = "";
    for (let k = 0; k <= side; k++) lines += `M0 ${k}H${side}M${k} 0V${side}`;
    make(map, "path", { class: "fim-mesh", d: lines });
    if (window) {
      lines = "";
      for (let k = 0; k <= side; k += h) lines += `M0 ${k}H${side}M${k} 0V${side}`;
      make(map, "path", { class: "fim-border", d: lines });
      make(frame, "i", { class: (t + 1) % window[0] ? "fim-join fim-on" : "fim-join" });
    }
    make(frame, "span", {}, t === 0 ? "frame 1" : `${t + 1}`);
  }
};

const legend = (root, count) => {
  const list = root.querySelector(".fim-legend");
  list.replaceChildren();
  const entries = [["fim-query", "the query", 0], ["fim-direct", "seen token by token", count[3] - 1], ["fim-outline", "seen in outline: its window is one key", count[2]], ["fim-through", "reached through others", count[1]]];
  for (const [kind, words, many] of entries) {
    if (kind !== "fim-query" && !many) continue;
    const entry = make(list, "li");
    const icon = make(entry, "svg", { viewBox: "0 0 1 1", "aria-hidden": "true" });
    const inset = kind === "fim-through" ? 0.28 : 0;
    make(icon, "rect", { class: kind, x: inset, y: inset, width: 1 - 2 * inset, height: 1 - 2 * inset });
    make(entry, "span", {}, many ? `${words}: ${many}` : words);
  }
};

// A row for each kind of attention: choose it, and read its cost and keys. Gives the function that fills them.
const kindRows = (root, data, choose) => {
  const area = root.querySelector(".fim-kinds");
  const group = `fim-${Math.random()}`; // two figures on a page do not share their buttons
  const head = make(area, "div", { class: "fim-head" });
  for (const text of ["Attention", "Multiply-accumulates, logarithmic", "", "keys"]) make(head, "span", {}, text);
  const rows = Object.keys(data.kinds).map((name) => {
    const row = make(area, "label", { class: "fim-kind" });
    const mark = make(row, "span", { class: "fim-which" });
    const button = make(mark, "input", { type: "radio", name: group, value: name, "aria-label": name });
    button.checked = name === data.kind;
    button.onchange = () => choose(name);
    mark.append(name);
    return { name, row, bar: make(row, "i"), cost: make(row, "b", { class: "fim-cost" }), keys: make(row, "b", { class: "fim-keys-seen" }) };
  });
  const axis = make(make(area, "div", { class: "fim-kind" }), "div", { class: "fim-ticks" });
  const note = make(area, "p", { class: "fim-note" });
  const [mostF, mostSide] = data.most;
  return (F, S, D, state) => {
    const total = (steps) => steps.map((step) => costOf(step, F, S, D, state.window)).reduce((a, b) => a + b);
    const low = Math.floor(Math.log10(4 * D * D)); // the least there is: a single token
    const high = Math.ceil(Math.log10(costOf("joint", mostF, mostSide * mostSide, D, [1, 1])));
    area.style.setProperty("--decades", high - low);
    for (const { name, row, bar, cost, keys } of rows) {
      const steps = data.kinds[name];
      const macs = total(steps);
      row.classList.toggle("fim-chosen", name === state.kind);
      bar.style.setProperty("--v", (Math.log10(macs) - low) / (high - low));
      cost.textContent = short(macs);
      cost.dataset.macs = macs;
      keys.textContent = steps.map((step) => keysOf(step, F, S, state.window)).join(" + ");
    }
    axis.replaceChildren();
    for (let k = low; k <= high; k++) {
      const tick = make(axis, "span", { style: `left:${(100 * (k - low)) / (high - low)}%` }, "10");
      make(tick, "sup", {}, `${k}`);
    }
    note.textContent = `For one clip of ${plural(F, "frame")} of ${S} places, D = ${D} channels. Divided attention and local + global are two layers.`;
  };
};
