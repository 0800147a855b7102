// What is wider than the column scrolls. It can be reached by keyboard, and its edge fades where there is more.
(() => {
  "use strict";
  const wide = ["pre", "div.picture", "div.shown", "div.text_html", "div.pst-scrollable-table-container", 'mjx-container[display="true"]'];
  const look = (node) => {
    const more = node.scrollWidth - node.clientWidth;
    if (more > 1 && node.tabIndex < 0) {
      node.tabIndex = 0;
      node.addEventListener("scroll", () => look(node), { passive: true });
    } else if (more <= 1) {
      node.removeAttribute("tabindex");
    }
    node.classList.toggle("more", more > 1 && node.scrollLeft < more - 1);
  };
  const begin = () => {
    const watch = new ResizeObserver((seen) => seen.forEach((one) => look(one.target)));
    document.querySelectorAll(wide.map((one) => `.bd-article ${one}`).join()).forEach((node) => watch.observe(node));
  };
  const typeset = () => window.MathJax?.startup?.promise?.then(begin) ?? begin();
  window.addEventListener("load", typeset);
})();
