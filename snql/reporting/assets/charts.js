"use strict";
// Draws the charts one after another, so that the page can be read and used meanwhile. Expressions are interpreted:
// the page's policy lets nothing make code out of text.
const Charts = (() => {
  // A page with files for its styles lets none in that a script would add.
  const strict = "charts" in document.documentElement.dataset;
  const options = {
    renderer: "svg", ast: true, tooltip: { theme: "custom", disableDefaultStyle: strict }, defaultStyle: !strict,
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

  if (waiting.length === 0 || typeof vegaEmbed !== "undefined") setTimeout(next);
  return { draw };
})();
