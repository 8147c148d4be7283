"use strict";
// Draws the charts one after another, so that the page can be read and used meanwhile: each as wide as there is room,
// in the page's colours, again when either changes. Expressions are interpreted: the page's policy lets nothing make
// code out of text.
const Charts = (() => {
  // A page with files for its styles lets none in that a script would add.
  const strict = "charts" in document.documentElement.dataset;
  const options = {
    renderer: "svg", ast: true, tooltip: { theme: "custom", disableDefaultStyle: strict }, defaultStyle: !strict,
    actions: { export: true, source: false, compiled: false, editor: false },
  };
  const COLOURED = /(color|fill|stroke|background|range|value)$/i;
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  const drawn = new Map();
  let waiting = [...document.querySelectorAll("script.chart-spec")];

  function coloured(value, colours, key = "") {
    if (typeof value === "string") return COLOURED.test(key) && Object.hasOwn(colours, value) ? colours[value] : value;
    if (Array.isArray(value)) return value.map((part) => coloured(part, colours, key));
    if (value === null || typeof value !== "object") return value;
    const parts = Object.entries(value).map(([name, part]) => [name, coloured(part, colours, name)]);
    return Object.fromEntries(parts);
  }

  // A specification by itself is drawn as it is.
  function read(element) {
    const chart = JSON.parse(element.textContent);
    if (chart.drawings) return chart;
    const { datasets, ...specification } = chart;
    return { drawings: [{ width: 0, specification }], datasets, dark: {} };
  }

  // The widest drawing that fits where the chart stands, which is itself as wide as it was drawn; else the narrowest.
  function fitting({ drawings }, room) {
    const widths = drawings.map(({ width }) => width);
    const fits = widths.filter((width) => width <= room + 1);
    return widths.indexOf(fits.length ? Math.max(...fits) : Math.min(...widths));
  }

  function draw(element) {
    const target = document.getElementById(element.dataset.target);
    const chart = read(element);
    const dark = scheme.matches;
    const place = fitting(chart, target.parentElement.clientWidth);
    const { specification } = chart.drawings[place];
    const spec = { ...(dark ? coloured(specification, chart.dark) : specification), datasets: chart.datasets };
    return vegaEmbed(target, spec, options)
      .then((made) => {
        drawn.get(element)?.finalize();
        drawn.set(element, { dark, place, finalize: made.finalize });
        target.classList.add("drawn");
      })
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

  function again() {
    const idle = waiting.length === 0;
    for (const [element, { dark, place }] of drawn) {
      const room = document.getElementById(element.dataset.target).parentElement.clientWidth;
      const changed = dark !== scheme.matches || place !== fitting(read(element), room);
      if (changed && !waiting.includes(element)) waiting.push(element);
    }
    if (idle && waiting.length) next();
  }

  if (waiting.length === 0 || typeof vegaEmbed !== "undefined") setTimeout(next);
  scheme.addEventListener("change", again);
  let resized;
  addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(again, 200); });
  return { draw };
})();
