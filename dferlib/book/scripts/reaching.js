// Which inputs of a clip a number inside a network can know: a grid of frames by places. `root.fim` tells what is shown:
// the number, and of each input, frame by frame, whether it is known.
const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
const stridesOf = (kind, layers) => [...Array(layers).keys()].map((k) => (kind === "all" || (kind === "first" && k === 0) ? 2 : 1));

// The first and the last frame that a number knows through layers of three frames with these strides, and where it stands.
const overTime = (F, frame, strides) => {
  const lengths = [F];
  for (const stride of strides) lengths.push(Math.floor((lengths[lengths.length - 1] - 1) / stride) + 1);
  const own = strides.reduce((at, stride) => Math.floor(at / stride), frame);
  let [low, high] = [own, own];
  for (let k = strides.length - 1; k >= 0; k--)
    [low, high] = [Math.max(0, low * strides[k] - 1), Math.min(lengths[k] - 1, high * strides[k] + 1)];
  return [low, high, strides.reduce((at, stride) => at * stride, own)];
};

// Whether the number at [frame, place] knows the input at frame t and place p.
const KNOWS = {
  image: ([frame, place], layers) => (t, p) => t === frame && Math.abs(p - place) <= layers,
  memory: ([frame]) => (t) => t <= frame,
  volume: ([, place], layers, [low, high]) => (t, p) => low <= t && t <= high && Math.abs(p - place) <= layers,
  attention: () => () => true,
};

const start = (root, data) => {
  const { F, S } = data;
  const area = root.querySelector(".fim-grid-of-clip");
  const put = controls(root, () => show());
  let query = [...data.query];

  const show = () => {
    const [family, layers] = [put.family.value, Number(put.layers.value)];
    tell(put.layers, layers, plural(layers, "layer"));
    put.layers.disabled = family === "memory" || family === "attention";
    put.stride.disabled = family !== "volume";
    const [low, high, stands] = overTime(F, query[0], stridesOf(put.stride.value, layers));
    const knows = KNOWS[family](query, layers, [low, high]);
    const at = family === "volume" ? stands : query[0];
    const known = [...Array(F).keys()].flatMap((t) => [...Array(S).keys()].map((p) => knows(t, p)));
    draw(area, F, S, known, [at, query[1]]);
    const frames = [...Array(F).keys()].filter((t) => known.slice(t * S, (t + 1) * S).includes(true));
    const [first, last] = [frames[0] + 1, frames[frames.length - 1] + 1];
    const name = data.families[family];
    root.querySelector(".fim-said").textContent =
      `${name[0].toUpperCase()}${name.slice(1)}${put.layers.disabled ? "" : `, ${plural(layers, "layer")}`}: a number at frame ${at + 1}, ` +
      `place ${query[1] + 1} knows ${known.filter(Boolean).length} of ${known.length} inputs, ` +
      `${first === last ? `all in frame ${first}` : `in frames ${first} to ${last}`}.`;
    root.fim = { at: [at, query[1]], known };
  };

  const move = (step, axis) => {
    query[axis] = Math.max(0, Math.min((axis ? S : F) - 1, query[axis] + step));
    show();
  };
  area.onkeydown = (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [-1, 1], ArrowDown: [1, 1] };
    if (!(event.key in moves) || event.altKey || event.ctrlKey || event.metaKey) return;
    move(...moves[event.key]);
    event.preventDefault();
  };
  area.onclick = (event) => {
    const box = area.firstChild.getBoundingClientRect();
    const part = (from, size, count) => Math.max(0, Math.min(count - 1, Math.floor((from / size) * count)));
    query = [part(event.clientX - box.left, box.width, F), part(event.clientY - box.top, box.height, S)];
    show();
  };
  show();
};

const draw = (area, F, S, known, [at, place]) => {
  area.replaceChildren();
  const map = make(area, "svg", { viewBox: `0 0 ${F} ${S}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  make(map, "rect", { class: "fim-paper", width: F, height: S });
  const squares = known.map((one, k) => (one ? `M${Math.floor(k / S)} ${k % S}h1v1h-1z` : ""));
  make(map, "path", { class: "fim-known", d: squares.join("") });
  make(map, "rect", { class: "fim-query", x: at, y: place, width: 1, height: 1 });
  let lines = "";
  for (let k = 0; k <= F; k++) lines += `M${k} 0V${S}`;
  for (let k = 0; k <= S; k++) lines += `M0 ${k}H${F}`;
  make(map, "path", { class: "fim-mesh", d: lines });
};
