// Which frame SGAER sees, or how its answers of all frames become one, and how they are fused with TLER's.
// `root.fim` tells what is shown: the way, alpha, the three decisions, the UAR over all clips.
const sum = (values) => values.reduce((whole, one) => whole + one, 0);
const top = (values) => values.indexOf(Math.max(...values));
const percent = (part, count = 0) => `${digits(100 * part, count)}\u00a0%`;

// What SGAER says of a clip in some way; a number is that frame.
const spatial = (clip, way) => {
  const each = clip.frames;
  const over = (take) => each[0].map((_, c) => take(each.map((one) => one[c])));
  if (way === "mean") return over((values) => sum(values) / each.length);
  if (way === "max") {
    const highest = over((values) => Math.max(...values));
    return highest.map((one) => one / sum(highest));
  }
  if (way === "vote") return each[0].map((_, c) => each.filter((one) => top(one) === c).length / each.length);
  return each[{ rule: clip.rule, apex: clip.apex }[way] ?? Number(way)];
};
const fuse = (clip, way, alpha) => spatial(clip, way).map((one, c) => alpha * one + (1 - alpha) * clip.whole[c]);

const start = (root, data) => {
  const { classes } = data;
  const sheets = [...root.querySelectorAll(".fim-sheet")].map(({ src }) => `url(${src})`);
  const put = controls(root, () => show());
  const group = `fim-${Math.random()}`; // two figures on a page do not share their buttons
  const count = data.clips[0].frames.length;
  let picked = data.clips[0].rule;
  let way = "rule";

  const strip = root.querySelector(".fim-frames");
  strip.style.setProperty("--n", count);
  strip.style.setProperty("--columns", data.columns);
  const frames = [...Array(count).keys()].map((k) => {
    const label = make(strip, "label");
    const input = make(label, "input", { type: "radio", name: `${group}-frame`, value: k });
    input.onclick = input.onchange = () => take("picked", k);
    const part = (index, whole) => (whole > 1 ? (100 * index) / (whole - 1) : 0);
    const [x, y] = [part(k % data.columns, data.columns), part(Math.floor(k / data.columns), data.rows)];
    make(label, "i", { style: `background-position:${x}% ${y}%`, "data-number": k + 1 });
    return { label, input, answer: make(label, "b"), sure: make(label, "span") };
  });

  const list = root.querySelector(".fim-ways");
  const head = make(list, "div", { class: "fim-head" });
  ["SGAER answers by", "fused answer", "UAR"].forEach((text, k) => make(head, k ? "b" : "span", {}, text));
  const ways = ["picked", ...Object.keys(data.ways)].map((key) => {
    const label = make(list, "label");
    const name = make(label, "span");
    const input = make(name, "input", { type: "radio", name: `${group}-way`, value: key });
    input.onchange = () => take(key, picked);
    return { key, label, input, text: make(name, "span"), answer: make(label, "b"), uar: make(label, "b", { "data-uar": key }) };
  });

  const bars = root.querySelector(".fim-decisions");
  const heads = make(bars, "div", { class: "fim-head" });
  for (const text of ["", "SGAER", "TLER", "both"]) make(heads, "span", {}, text);
  const rows = classes.map((name, c) => {
    const line = make(bars, "div", { style: `--c:${data.colours[c]}` });
    make(line, "span", {}, name);
    return { line, cells: [0, 1, 2].map(() => make(line, "i", { role: "img" })) };
  });

  const take = (key, frame) => {
    way = key;
    picked = frame;
    show();
  };
  const show = () => {
    const clip = data.clips[Number(put.clip.value)];
    const alpha = Number(put.alpha.value), step = Math.round(20 * alpha);
    tell(put.alpha, alpha.toFixed(2), `weight of SGAER ${alpha.toFixed(2)}`);
    strip.style.setProperty("--sheet", sheets[Number(put.clip.value)]);
    if (way === "rule" || way === "apex") picked = clip[way];
    const real = (key) => (key === "picked" ? String(picked) : key);
    const all = !["picked", "rule", "apex"].includes(way);
    const answers = [spatial(clip, real(way)), clip.whole, fuse(clip, real(way), alpha)];

    frames.forEach(({ label, input, answer, sure }, k) => {
      const said = top(clip.frames[k]);
      label.className = `${all ? "shares" : k === picked ? "chosen" : ""} ${said === clip.label ? "right" : ""}`;
      input.checked = !all && k === picked;
      answer.textContent = classes[said];
      sure.textContent = percent(clip.frames[k][said]);
      input.setAttribute("aria-label", `frame ${k + 1}: ${classes[said]}, ${percent(clip.frames[k][said])}`);
    });
    for (const one of ways) {
      one.input.checked = one.key === way;
      one.label.classList.toggle("chosen", one.key === way);
      one.text.textContent = one.key === "picked" ? `frame ${picked + 1} of each` : data.ways[one.key];
      one.answer.textContent = classes[top(fuse(clip, real(one.key), alpha))];
      one.uar.textContent = percent(data.uars[real(one.key)][step], 1);
    }
    rows.forEach(({ line, cells }, c) => {
      line.classList.toggle("true", c === clip.label);
      cells.forEach((cell, k) => {
        cell.style.setProperty("--v", answers[k][c]);
        cell.classList.toggle("top", c === top(answers[k]));
        cell.setAttribute("aria-label", `${["SGAER", "TLER", "both"][k]}, ${classes[c]}: ${percent(answers[k][c])}`);
      });
    });
    const [one, other, both] = answers.map((values) => `${classes[top(values)]}, ${percent(Math.max(...values))}`);
    const name = way === "picked" ? `frame ${picked + 1}` : data.ways[way];
    root.querySelector(".fim-said").textContent =
      `A clip of ${classes[clip.label]}. SGAER, by ${name}: ${one}. TLER: ${other}. Together: ${both}, which is ` +
      `${top(answers[2]) === clip.label ? "right" : "wrong"}. So decided, all ${data.count.toLocaleString("en")} test clips have a UAR of ` +
      `${percent(data.uars[real(way)][step], 1)}; TLER alone has ${percent(data.uars[real(way)][0], 1)}, SGAER alone ${percent(data.uars[real(way)].at(-1), 1)}.`;
    root.fim = { way: real(way), alpha, answers, uar: data.uars[real(way)][step] };
  };
  show();
};
