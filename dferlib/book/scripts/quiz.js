// Each choice becomes a button; below it stands, once it was chosen, why it is right or not. `root.fim` tells the count.
const start = (root, right) => {
  const questions = [...root.querySelectorAll("fieldset")].map((field, k) => ({ field, right: right[k], tries: 0, found: 0 }));
  const count = () => {
    const found = questions.filter((one) => one.found);
    const first = found.filter((one) => one.found === 1).length;
    root.fim = { right: found.length, first };
    root.querySelector(".fim-said").textContent = questions.some((one) => one.tries)
      ? `${found.length} of ${questions.length} right${found.length ? `, ${first || "none"} of them at the first try` : ""}.`
      : "Choose an answer: it says at once whether it is right, and why.";
  };
  for (const one of questions) {
    const reasons = [...one.field.querySelectorAll("details li > span")];
    [...one.field.querySelectorAll(".fim-choices li")].forEach((line, k) => {
      const button = make(line, "button", { type: "button", "aria-pressed": "false" });
      button.append(line.querySelector("b"), line.querySelector("span"));
      const why = make(line, "p", { class: "fim-why", "aria-live": "polite" });
      line.replaceChildren(button, why);
      button.addEventListener("click", () => {
        if (line.className) return;
        const isRight = k === one.right;
        one.tries++;
        if (isRight) one.found = one.tries;
        line.className = isRight ? "right" : "wrong";
        button.setAttribute("aria-pressed", "true");
        make(why, "b", {}, isRight ? "✓ Right. " : "✗ Not right. ");
        why.append(reasons[k].cloneNode(true));
        count();
      });
    });
  }
  count();
};
