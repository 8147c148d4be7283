"use strict";
// Draws the charts one after another, so that the page can be read and used meanwhile. Expressions are interpreted:
// the page's policy lets nothing make code out of text.
(() => {
  const options = {
    renderer: "svg", ast: true, tooltip: { theme: "custom" },
    actions: { export: true, source: false, compiled: false, editor: false },
  };
  const waiting = [...document.querySelectorAll("script.chart-spec")];

  function draw(element) {
    const target = document.getElementById(element.dataset.target);
    return vegaEmbed(target, JSON.parse(element.textContent), options)
      .then(() => target.classList.add("drawn"))
      .catch((error) => { target.textContent = `This chart could not be drawn: ${error.message ?? error}`; });
  }

  function next() {
    const element = waiting.shift();
    if (element) draw(element).then(() => setTimeout(next));
    else {
      performance.mark("all-drawn");
      document.documentElement.classList.add("all-drawn");
    }
  }

  setTimeout(next);
})();
