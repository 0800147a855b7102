// Arrow keys turn the slides, as long as no figure and no control has the focus. F fills the screen, and leaves it.
(() => {
  "use strict";
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const paint = () => { document.documentElement.dataset.theme = dark.matches ? "dark" : "light"; };
  dark.addEventListener("change", paint);
  paint();
  const TURN = { ArrowRight: 1, PageDown: 1, " ": 1, ArrowLeft: -1, PageUp: -1 };
  const turn = (step) => {
    const slides = [...document.querySelectorAll(".slide")];
    const tops = slides.map((one) => Math.abs(one.getBoundingClientRect().top));
    const next = tops.indexOf(Math.min(...tops)) + step;
    slides[Math.max(0, Math.min(slides.length - 1, next))].scrollIntoView();
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== document.body) return;
    if (event.key in TURN) {
      event.preventDefault();
      turn(event.shiftKey && event.key === " " ? -1 : TURN[event.key]);
    } else if (event.key.toLowerCase() === "f") {
      if (document.fullscreenElement) document.exitFullscreen();
      else document.documentElement.requestFullscreen?.();
    }
  });
})();
