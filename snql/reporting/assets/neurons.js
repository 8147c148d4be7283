"use strict";
// The table of neurons: filtered and sorted as a list of row numbers, drawn a page at a time.
(() => {
  const data = Rows.data("neurons-data");
  if (!data) return;
  const { element, number } = Rows;
  const form = document.getElementById("neurons-controls");
  const table = document.getElementById("neurons-table");
  const choice = (name) => form.elements.namedItem(name);
  const all = data.rank.map((_, row) => row);
  const names = all.map((row) => {
    const expert = data.expert && data.expert[row] !== null ? `.E${data.expert[row]}` : "";
    return `L${data.layer[row]}${expert}.N${data.neuron[row]}`;
  });
  const columns = { ...data, name: names, run: data.run.map((run) => data.runs[run]) };
  let order = null;

  const spread = (mean, deviation) => `${number(mean)} \u00b1 ${number(deviation)}`;
  const compared = () => (choice("compare").value === "" ? null : data.ranks[Number(choice("compare").value)]);

  // The neuron's name, a link where it has a page.
  function page(row) {
    const address = `neurons/${data.run[row]}/${names[row]}.html`;
    return data.rank[row] <= data.linked ? element("a", { href: address }, names[row]) : names[row];
  }

  function cells(row) {
    const rest = [
      number(data.layer[row]), number(data.rank[row]), number(data.score[row]),
      spread(data.mean_before[row], data.std_before[row]), spread(data.mean_after[row], data.std_after[row]),
      number(data.mean_difference[row], { signed: true }),
    ];
    if (compared()) rest.push(number(compared()[row]));
    return [
      element("th", { scope: "row" }, page(row)),
      element("td", {}, columns.run[row]),
      ...rest.map((text) => element("td", { class: "number" }, text)),
    ];
  }

  const pager = new Rows.Pager(document.getElementById("neurons-pager"), "neurons", [25, 50, 100, 500], (rows) => {
    table.tBodies[0].replaceChildren(...rows.map((row) => element("tr", {}, ...cells(row))));
  });

  const changes = {
    up: (row) => data.mean_difference[row] > 0,
    down: (row) => data.mean_difference[row] < 0,
    flip: (row) => data.mean_before[row] * data.mean_after[row] < 0,
  };

  function wanted() {
    const run = choice("run").value;
    const layer = choice("layer").value;
    const find = choice("find").value.trim().toUpperCase();
    const change = changes[choice("change").value];
    return all.filter((row) => (run === "" || data.run[row] === Number(run))
      && (layer === "" || data.layer[row] === Number(layer))
      && (find === "" || names[row].includes(find))
      && (!change || change(row)));
  }

  function show() {
    const rows = wanted();
    if (order) {
      const values = order.key === "compared" ? compared() : columns[order.key];
      rows.sort((one, other) => Rows.compare(values[one], values[other], order.direction) || one - other);
    }
    pager.show(rows);
  }

  function sortable(heading) {
    Rows.sorting(heading, table, (direction) => {
      order = { key: heading.dataset.key, direction };
      show();
    });
  }

  function compare() {
    const heads = table.tHead.rows[0];
    heads.querySelector('[data-key="compared"]')?.remove();
    if (order?.key === "compared") order = null;
    if (compared()) {
      const run = data.compared[Number(choice("compare").value)];
      const heading = element("th", { scope: "col", class: "number", "data-key": "compared" }, `rank in ${run}`);
      heads.append(heading);
      sortable(heading);
    }
    show();
  }

  const layers = [...new Set(data.layer)].sort((one, other) => one - other);
  Rows.fill(choice("run"), [["", "all"], ...data.runs.map((run, place) => [place, run])], "");
  Rows.fill(choice("layer"), [["", "all"], ...layers.map((layer) => [layer, String(layer)])], "");
  Rows.fill(choice("compare"), [["", "no other"], ...data.compared.map((run, place) => [place, run])], "");
  [...table.tHead.rows[0].cells].forEach(sortable);
  for (const name of ["run", "layer", "change"]) choice(name).addEventListener("change", show);
  choice("find").addEventListener("input", show);
  choice("compare").addEventListener("change", compare);
  show();
})();
