// How much too high the best of many test epochs is. `root.fim` is for other scripts.
const TOPS = [2, 3, 4, 6, 8, 12, 16]; // of the left chart, so that what clips do is seen

// Standard normal numbers of so many trainings (Box and Muller): first what all epochs share, then what each has.
const draws = (seed, trainings, epochs) => {
  const next = generator(seed);
  const normal = () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
  return Array.from({ length: trainings }, () => ({ shared: normal(), own: Array.from({ length: epochs }, normal) }));
};

// What each epoch of a training deviates from the truth, in deviations of the noise.
const deviations = ({ shared, own }, rho) => own.map((one) => Math.sqrt(rho) * shared + Math.sqrt(1 - rho) * one);

// The best up to each epoch.
const bests = (values) => values.map(((best) => (one) => (best = Math.max(best, one)))(-Infinity));

// Means over trainings for each number of epochs, and the standard error of one of them.
const simulate = (drawn, rho, epochs) => {
  const all = drawn.map((one) => bests(deviations(one, rho)));
  const means = all[0].map((_, e) => all.reduce((whole, one) => whole + one[e], 0) / all.length);
  const mean = means[epochs - 1];
  const squares = all.reduce((whole, one) => whole + (one[epochs - 1] - mean) ** 2, 0);
  return { means, error: Math.sqrt(squares / (all.length - 1) / all.length) };
};

// A chart over the epochs, and ways to draw in it.
const overEpochs = (parent, last, heights, words) => {
  const { svg, x, y } = chart(parent, [1, last], heights, [1, 50, 100, 150].filter((one) => one <= last), "epochs", words);
  const line = (kind, values) =>
    make(svg, "path", { class: kind, d: `M${values.map((one, k) => `${x(k + 1).toFixed(1)} ${y(one).toFixed(1)}`).join("L")}` });
  const dot = (kind, epoch, value) => make(svg, "circle", { class: kind, cx: x(epoch), cy: y(value), r: 5 });
  return { line, dot };
};

const start = (root, data) => {
  const last = data.maximum.length;
  const one = (selector) => root.querySelector(selector);
  const left = drawing(one(".fim-formula"), "What the best test epoch adds, in points", [
    ["formula", "formula"],
    ["drawn", `mean of ${data.trainings} trainings`],
    ["independent", "epochs independent"],
  ]);
  const right = drawing(one(".fim-course"), "One training, in points from the truth", [
    ["course", "epochs to choose from"],
    ["truth", "the truth"],
  ]);
  let seed = data.seed;
  let drawn = draws(seed, data.trainings, last);

  const draw = () => {
    const [clips, epochs, rho] = ["clips", "epochs", "correlation"].map((key) => Number(found[key].value));
    const sigma = 100 * Math.sqrt((data.result * (1 - data.result)) / clips);
    tell(found.clips, clips.toLocaleString("en"));
    tell(found.epochs, String(epochs));
    tell(found.correlation, rho.toFixed(2));

    const independent = data.maximum.map((one) => sigma * one);
    const formula = independent.map((one) => Math.sqrt(1 - rho) * one);
    const { means, error } = simulate(drawn, rho, epochs);
    const simulated = means.map((mean) => sigma * mean);
    const highest = Math.max(...independent, ...simulated);
    const top = TOPS.find((one) => one >= highest) ?? highest;
    const points = (value) => digits(value, 2);
    const first = overEpochs(left, last, [Math.min(0, ...simulated), top], `The formula rises to ${points(formula.at(-1))} points at ${last} epochs.`);
    first.line("independent", independent);
    first.line("drawn", simulated);
    first.line("formula", formula);
    first.dot("point", epochs, formula[epochs - 1]);

    const course = deviations(drawn[0], rho).slice(0, epochs).map((value) => sigma * value);
    const best = Math.max(...course);
    const chosen = course.indexOf(best) + 1;
    const reach = Math.max(top, ...course.map(Math.abs));
    const second = overEpochs(right, last, [-reach, reach], `The best of this training is epoch ${chosen}, ${points(best)} points from the truth.`);
    second.line("truth", Array(last).fill(0));
    second.line("course", course);
    second.dot("best", chosen, best);

    one(".fim-said").textContent =
      `The noise of one test result is ${points(sigma)} points. The best of ${epochs} epochs is ${points(formula[epochs - 1])} points too high by the formula, ` +
      `${points(simulated[epochs - 1])} in the mean of ${data.trainings} drawn trainings (standard error ${points(sigma * error)}). ` +
      `In the one that is shown, epoch ${chosen} is chosen, with ${points(best)}. No model has become better.`;
  };

  const found = controls(root, draw);
  one('[data-action="again"]').onclick = () => {
    seed += 1;
    drawn = draws(seed, data.trainings, last);
    draw();
  };
  root.fim = { draws, simulate, deviations };
  draw();
};
