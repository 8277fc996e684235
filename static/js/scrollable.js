// What scrolls sideways can be reached and scrolled from the keyboard; what fits is no stop on the way.
(() => {
  "use strict";
  const mark = () => {
    for (const box of document.querySelectorAll("pre, .scroll, .card")) {
      const scrolls = box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight + 1;
      if (scrolls && getComputedStyle(box).overflowX !== "visible") box.tabIndex = 0;
      else if (box.dataset.keep === undefined) box.removeAttribute("tabindex");
    }
  };
  addEventListener("DOMContentLoaded", mark);
  addEventListener("resize", mark);
  document.addEventListener("htmx:afterSwap", mark);
})();
