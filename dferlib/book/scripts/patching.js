// A player whose picture is cut into patches: the chosen one shows its votes and where it looks in time.
// `root.dataset.patch` and `.frame` tell what is shown.
const start = (root, data) => {
  const inner = root.querySelector(".fim-player");
  if (!inner.fim) {
    setTimeout(() => start(root, data), 50); // in a notebook the player may begin later
    return;
  }
  const { grid, votes, attention, classes } = data;
  const count = grid * grid;
  const frames = votes.length;
  const group = `fim-${Math.random()}`; // two figures on a page do not share their buttons
  const signed = (value) => `${value > 0 ? "+" : ""}${digits(value, 2)}`;
  const most = (values) => values.indexOf(Math.max(...values));
  const mean = classes.map((_, c) => [...Array(count).keys()].map((p) => votes.reduce((sum, one) => sum + one[p][c], 0) / frames));
  const scale = Math.max(...votes.flat(2).map(Math.abs));
  const peak = Math.max(...attention.flat(2));

  const patches = make(inner.querySelector(".fim-screen"), "div", { class: "fim-patches", role: "radiogroup", "aria-label": "The patch that is looked at" });
  patches.style.setProperty("--grid", grid);
  const labels = [...Array(count).keys()].map((p) => {
    const label = make(patches, "label");
    const words = `row ${Math.floor(p / grid) + 1}, column ${(p % grid) + 1}`;
    const input = make(label, "input", { type: "radio", name: group, "aria-label": words });
    input.onchange = () => choose(p);
    return { label, input, words };
  });
  patches.onclick = (event) => event.stopPropagation(); // it would play
  patches.onkeydown = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -grid, ArrowDown: grid }[event.key];
    event.stopPropagation(); // it would step
    if (!step) return;
    event.preventDefault();
    const next = Number(root.dataset.patch) + step;
    const sideways = Math.abs(step) === 1 && Math.floor(next / grid) !== Math.floor((next - step) / grid);
    if (next < 0 || next >= count || sideways) return;
    choose(next);
    labels[next].input.focus();
  };

  const side = root.querySelector(".fim-votes");
  make(side, "p", { class: "fim-title" }, "The votes of the patch: all frames, and | this frame");
  const rows = classes.map((name, c) => {
    const line = make(side, "div", { style: `--c:${data.colours[c]}` });
    make(line, "span", {}, name);
    return { line, bar: make(line, "i"), value: make(line, "b") };
  });
  const looks = root.querySelector(".fim-looks");
  make(looks, "p", { class: "fim-title" }, "Where this frame looks, in the last T-Former");
  const plot = make(looks, "div");
  make(plot, "hr").style.setProperty("--v", 1 / frames / peak);
  const bars = votes.map((_, t) => {
    const bar = make(plot, "i");
    bar.onclick = () => inner.fim.show(t);
    return bar;
  });
  const ends = make(looks, "p");
  for (const text of ["first frame", "dashed: equal shares", "last frame"]) make(ends, "span", {}, text);

  const choose = (p) => {
    root.dataset.patch = p;
    show();
  };
  const show = () => {
    const p = Number(root.dataset.patch);
    const t = Number(inner.dataset.frame);
    root.dataset.frame = t;
    labels.forEach(({ label, input }, k) => {
      label.classList.toggle("chosen", k === p);
      input.checked = k === p;
    });
    const all = mean.map((one) => one[p]);
    const best = most(all);
    rows.forEach(({ line, bar, value }, c) => {
      bar.style.setProperty("--v", all[c] / scale);
      bar.style.setProperty("--now", votes[t][p][c] / scale);
      value.textContent = signed(all[c]);
      line.classList.toggle("most", c === best);
    });
    bars.forEach((bar, k) => {
      bar.style.setProperty("--v", attention[p][t][k] / peak);
      bar.classList.toggle("now", k === t);
    });
    const answer = most(data.logits);
    const rank = [...Array(count).keys()].filter((k) => mean[answer][k] > mean[answer][p]).length + 1;
    root.querySelector(":scope > .fim-said").textContent =
      `The patch in ${labels[p].words}: over its track it votes most for ${classes[best]} (${signed(all[best])}). For the answer, ${classes[answer]}, ` +
      `it casts ${signed(all[answer])}, which is number ${rank} of ${count}. The mean of all ${count * frames} votes, plus the bias, is the logit: ${signed(data.logits[answer])}.`;
  };
  inner.addEventListener("fim:frame", show);
  choose(data.first);
};
