"use strict";
for (const element of document.querySelectorAll("script.chart-spec")) {
  const target = document.getElementById(element.dataset.target);
  const actions = { export: true, source: false, compiled: false, editor: false };
  vegaEmbed(target, JSON.parse(element.textContent), { renderer: "svg", actions, tooltip: { theme: "custom" } })
    .then(() => target.classList.add("drawn"))
    .catch((error) => { target.textContent = `This chart could not be drawn: ${error.message}`; });
}
