// The power of a paired t test, and studies that are drawn. `root.fim` is for other scripts.
const PIECES = 600; // of the integral
const FEWEST = 2; // seeds

// The normal distribution function (Abramowitz and Stegun, 7.1.26), to seven digits.
const normal = (x) => {
  const t = 1 / (1 + 0.3275911 * (Math.abs(x) / Math.SQRT2));
  const rest = [1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592].reduce((sum, one) => (sum + one) * t, 0);
  const below = 0.5 * rest * Math.exp((-x * x) / 2);
  return x < 0 ? below : 1 - below;
};

// How probable it is that t lies beyond the edge. The estimated spread s is integrated out.
const power = (seeds, effect, edge) => {
  const free = seeds - 1;
  const shift = effect * Math.sqrt(seeds);
  const step = (1 + 7 / Math.sqrt(2 * free)) / PIECES;
  let [whole, beyond] = [0, 0];
  for (let k = 0; k < PIECES; k++) {
    const s = (k + 0.5) * step;
    const weight = Math.exp((free - 1) * Math.log(s) - (free * (s * s - 1)) / 2);
    whole += weight;
    beyond += weight * (normal(shift - edge * s) + normal(-shift - edge * s));
  }
  return beyond / whole;
};

// Differences of so many seeds in each study, in deviations from the truth (Box and Muller).
const draws = (seed, studies, most) => {
  const next = generator(seed);
  const one = () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
  return Array.from({ length: studies }, () => Array.from({ length: most }, one));
};

// What a study reports: its mean, and how far its interval reaches to either side.
const report = (values, gap, spread, edge) => {
  const gaps = values.map((one) => gap + spread * one);
  const mean = gaps.reduce((sum, one) => sum + one, 0) / gaps.length;
  const square = gaps.reduce((sum, one) => sum + (one - mean) ** 2, 0) / (gaps.length - 1);
  return { mean, reach: edge * Math.sqrt(square / gaps.length) };
};

const start = (root, data) => {
  const last = FEWEST + data.edges.length - 1;
  const counts = data.edges.map((_, k) => FEWEST + k);
  const one = (selector) => root.querySelector(selector);
  const left = drawing(one(".fim-power"), "How often a study finds the gap, in %", [
    ["power", "power"],
    ["aim", `${Math.round(100 * data.wanted)} %`],
  ]);
  const right = drawing(one(".fim-studies"), `${data.studies} studies, in points`, [
    ["found", "finds it"],
    ["missed", "does not"],
    ["truth", "the truth"],
  ]);
  let seed = data.seed;
  let drawn = draws(seed, data.studies, last);

  const draw = () => {
    const [gap, spread, seeds] = ["gap", "spread", "seeds"].map((key) => Number(found[key].value));
    tell(found.gap, digits(gap, 1), `${digits(gap, 1)} points`);
    tell(found.spread, digits(spread, 1), `${digits(spread, 1)} points`);
    tell(found.seeds, String(seeds));

    const curve = counts.map((count, k) => power(count, gap / spread, data.edges[k]));
    const mine = curve[seeds - FEWEST];
    const enough = counts.find((_, k) => curve[k] >= data.wanted);
    const many = Math.ceil((data.reach * spread / gap) ** 2 + 2); // the t test takes two more than the normal would
    const needed = enough ?? `about ${many.toLocaleString("en")}`;
    const percent = `${digits(100 * mine, 0)} %`;
    const first = chart(left, [FEWEST, last], [0, 100], [FEWEST, 10, 20, 30, last], "seeds", `The power with ${seeds} seeds is ${percent}.`);
    first.level("aim", 100 * data.wanted);
    make(first.svg, "path", { class: "power", d: `M${curve.map((value, k) => `${first.x(counts[k]).toFixed(1)} ${first.y(100 * value).toFixed(1)}`).join("L")}` });
    make(first.svg, "circle", { class: "point", cx: first.x(seeds), cy: first.y(100 * mine), r: 5 });

    const all = drawn.map((values) => report(values.slice(0, seeds), gap, spread, data.edges[seeds - FEWEST]));
    const finds = all.filter(({ mean, reach }) => Math.abs(mean) > reach);
    const high = 1.1 * Math.max(2 * gap, gap + (3.5 * spread) / Math.sqrt(seeds));
    const low = Math.min(-0.2 * high, gap - (3.5 * spread) / Math.sqrt(seeds));
    const within = (value) => Math.min(high, Math.max(low, value));
    const second = chart(right, [0, data.studies + 1], [low, high], [], "studies", `${finds.length} of ${data.studies} studies find the gap.`);
    second.level("truth", gap);
    all.forEach(({ mean, reach }, k) => {
      const kind = Math.abs(mean) > reach ? "found" : "missed";
      make(second.svg, "path", { class: kind, d: `M${second.x(k + 1)} ${second.y(within(mean - reach))}V${second.y(within(mean + reach))}` });
      make(second.svg, "circle", { class: kind, cx: second.x(k + 1), cy: second.y(within(mean)), r: 2 });
    });

    const reported = finds.reduce((sum, { mean }) => sum + mean, 0) / finds.length;
    one(".fim-said").textContent =
      `With ${seeds} seeds a study finds a true gap of ${digits(gap, 1)} points with a power of ${percent}; for ${Math.round(100 * data.wanted)} % it takes ${needed}. ` +
      (finds.length
        ? `Of the ${data.studies} that are drawn, ${finds.length} find it, and report ${digits(reported, 2)} points on average.`
        : `Of the ${data.studies} that are drawn, none finds it.`);
  };

  const found = controls(root, draw);
  one('[data-action="again"]').onclick = () => {
    seed += 1;
    drawn = draws(seed, data.studies, last);
    draw();
  };
  root.fim = { power, draws, report };
  draw();
};
