// What UAR, WAR and macro F1 make of seven recalls. `root.fim` is for other scripts.
const CLIPS = 1000; // that the matrix counts

const sum = (values) => values.reduce((whole, one) => whole + one, 0);

// The confusion matrix, as parts of all clips: see `expected_confusion` in Python.
const confusion = (recalls, sizes, spread, commonest) =>
  recalls.map((recall, c) => {
    const weigh = (k) => (spread === "frequent" ? sizes[k] : spread === "one" ? Number(k === commonest) : 1);
    let others = recalls.map((_, k) => (k === c ? 0 : weigh(k)));
    if (!sum(others)) others = recalls.map((_, k) => Number(k !== c));
    const whole = sum(others);
    return others.map((one, k) => sizes[c] * (k === c ? recall : ((1 - recall) * one) / whole));
  });

// UAR, WAR and macro F1.
const scores = (matrix) => {
  const right = matrix.map((line, c) => line[c]);
  const is = matrix.map(sum);
  const called = matrix.map((_, c) => sum(matrix.map((line) => line[c])));
  const mean = (values) => sum(values) / values.length;
  return [
    mean(right.map((one, c) => one / is[c])),
    sum(right) / sum(is),
    mean(right.map((one, c) => (2 * one) / (is[c] + called[c]))),
  ];
};

const start = (root, data) => {
  const { classes, metrics, known } = data;
  const commonest = data.uneven.indexOf(Math.max(...data.uneven));
  const said = root.querySelector(".fim-said");
  const percent = (value) => `${digits(100 * value, 1)} %`;

  // Rows of scores: first the reader's own, then those made up, whose names are buttons.
  const table = make(root.querySelector(".fim-scores"), "table");
  const top = make(make(table, "thead"), "tr");
  for (const text of ["", ...metrics]) make(top, "th", { scope: "col" }, text);
  const body = make(table, "tbody");
  const rows = [{ name: "yours" }, ...known].map(({ name, recalls }) => {
    const line = make(body, "tr");
    const head = make(line, "th", { scope: "row" }, recalls ? "" : name);
    const button = recalls && make(head, "button", { type: "button" }, name);
    const cells = metrics.map(() => make(make(line, "td"), "span"));
    return { name, recalls, button, cells };
  });

  const square = make(root.querySelector(".fim-matrix"), "table");
  make(square, "caption", {}, `Where ${CLIPS.toLocaleString("en")} clips go: rows are true classes, columns are answers`);
  const heads = make(make(square, "thead"), "tr");
  for (const text of ["", ...classes, "clips"]) make(make(heads, "th", { scope: "col" }), "span", {}, text);
  const lines = make(square, "tbody");
  const line = (name) => {
    const row = make(lines, "tr");
    make(row, "th", { scope: "row" }, name);
    return [...classes, ""].map(() => make(row, "td"));
  };
  const cells = classes.map(line);
  const called = line("called so");
  for (const one of [...called, ...cells.map((row) => row.at(-1))]) one.classList.add("sum");
  cells.forEach((row, c) => row[c].classList.add("right"));
  const count = (part) => digits(CLIPS * part, CLIPS * part < 9.95 && part > 0 ? 1 : 0);

  const draw = () => {
    const recalls = classes.map((_, c) => Number(found[`recall${c}`].value) / 100);
    const uneven = Number(found.uneven.value) / 100;
    const sizes = data.uneven.map((part) => (1 - uneven) / classes.length + uneven * part);
    classes.forEach((_, c) => tell(found[`recall${c}`], `${Math.round(100 * recalls[c])} %`));
    tell(found.uneven, `${Math.round(100 * uneven)} %`);

    const matrix = confusion(recalls, sizes, found.spread.value, commonest);
    matrix.forEach((row, c) => {
      row.forEach((part, k) => {
        cells[c][k].textContent = count(part);
        cells[c][k].style.setProperty("--v", part / sizes[c]);
      });
      cells[c].at(-1).textContent = count(sizes[c]);
      called[c].textContent = count(sum(matrix.map((other) => other[c])));
    });
    called.at(-1).textContent = CLIPS.toLocaleString("en");

    const all = rows.map((row) => scores(row.recalls ? confusion(row.recalls, sizes, found.spread.value, commonest) : matrix));
    const best = metrics.map((_, m) => Math.max(...all.slice(1).map((one) => one[m])));
    rows.forEach((row, r) => {
      row.cells.forEach((cell, m) => {
        cell.textContent = percent(all[r][m]);
        cell.style.setProperty("--v", all[r][m]);
        cell.parentNode.classList.toggle("best", r > 0 && all[r][m] === best[m]);
      });
      row.button?.setAttribute("aria-pressed", row.recalls.every((one, c) => Math.round(100 * one) === Math.round(100 * recalls[c])));
    });
    const winners = metrics.map((_, m) => rows[1 + all.slice(1).findIndex((one) => one[m] === best[m])].name);
    const agree = winners.every((one) => one === winners[0]);
    said.textContent =
      `Yours: ${metrics.map((name, m) => `${name} ${percent(all[0][m])}`).join(", ")}. Of the four, ` +
      (agree ? `all three metrics prefer “${winners[0]}”.` : `${metrics.map((name, m) => `${name} prefers “${winners[m]}”`).join(", ")}.`);
  };

  const found = controls(root, draw);
  for (const { button, recalls } of rows.slice(1))
    button.onclick = () => {
      recalls.forEach((one, c) => (found[`recall${c}`].value = Math.round(100 * one)));
      draw();
    };
  root.fim = { confusion, scores };
  draw();
};
