// Layouts of the same clips: points travel to where another space, perplexity or seed has them. `root.fim` tells which.
const start = (root, data) => {
  const area = root.querySelector(".fim-plane");
  const picture = make(area, "svg", { viewBox: "-10 -10 1020 1020", "aria-hidden": "true" });
  const dots = data.labels.map((label) => make(picture, "circle", { r: 8, fill: data.colours[label] }));
  const show = () => {
    const pca = put.way.value === "PCA";
    put.seed.disabled = pca;
    const name = pca ? `${put.space.value}, PCA` : `${put.space.value}, ${put.way.value}, ${put.seed.value}`;
    const plane = data.planes[name];
    dots.forEach((dot, k) => {
      dot.style.cx = `${plane[2 * k]}px`;
      dot.style.cy = `${plane[2 * k + 1]}px`;
    });
    const [kept, mine] = data.told[name];
    root.querySelector(".fim-said").textContent =
      `Of the ten nearest neighbours in this picture, ${kept} % are among the ten nearest in the space of the features, and ${mine} % show the same expression.`;
    root.fim = { name, plane, kept, mine };
  };
  const put = controls(root, show);
  show();
};
