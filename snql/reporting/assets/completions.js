"use strict";
// The completions: recipient, one patched set and the donor side by side, filtered and sorted by prompt.
(() => {
  const data = Rows.data("completions-data");
  if (!data) return;
  const { element, number } = Rows;
  const form = document.getElementById("completions-controls");
  const list = document.getElementById("completions-list");
  const choice = (name) => form.elements.namedItem(name);
  const lower = new Map();
  let run;

  const of = (role) => run.variants.filter((variant) => variant.role === role);
  const patched = () => of("patched")[Number(choice("set").value)];
  const text = (variant, place) => (variant ? variant.texts[place] : null);

  function score(variant, place) {
    const scores = variant && variant.scores[Number(choice("judge").value)];
    return scores ? scores[place] : null;
  }

  function change(place) {
    const [before, after] = [score(of("recipient")[0], place), score(patched(), place)];
    return before === null || after === null ? null : after - before;
  }

  function found(place, words) {
    const texts = [run.prompts[place], ...columns().map((variant) => text(variant, place))];
    return texts.some((index) => {
      if (index === null) return false;
      if (!lower.has(index)) lower.set(index, data.texts[index].toLowerCase());
      return lower.get(index).includes(words);
    });
  }

  const columns = () => [of("recipient")[0], patched(), of("donor")[0]].filter(Boolean);
  const above = (variant, place) => {
    const value = score(variant, place);
    return value === null ? null : value > 0;
  };
  const filters = {
    up: (place) => change(place) > 0,
    down: (place) => change(place) !== null && change(place) < 0,
    same: (place) => change(place) === 0,
    below: (place) => above(of("recipient")[0], place) === true && above(patched(), place) === false,
    above: (place) => above(of("recipient")[0], place) === false && above(patched(), place) === true,
    changed: (place) => text(patched(), place) !== text(of("recipient")[0], place),
    unchanged: (place) => text(patched(), place) === text(of("recipient")[0], place),
    donor: (place) => text(patched(), place) === text(of("donor")[0], place),
  };
  const orders = {
    fall: [change, 1],
    rise: [change, -1],
    recipient: [(place) => score(of("recipient")[0], place), -1],
    patched: [(place) => score(patched(), place), -1],
  };

  // How much of a text the recipient wrote as well, from the beginning, in whole words.
  function shared(own, other) {
    let length = 0;
    while (length < own.length && own[length] === other[length]) length += 1;
    return length === own.length ? length : own.slice(0, length).search(/\S*$/);
  }

  function body(variant, place) {
    const index = text(variant, place);
    if (index === null) return [Rows.MISSING];
    const own = data.texts[index];
    const recipient = text(of("recipient")[0], place);
    if (variant.role !== "patched" || recipient === null) return [own];
    const length = shared(own, data.texts[recipient]);
    return [element("span", { class: "lead" }, own.slice(0, length)), own.slice(length)].filter((part) => part !== "");
  }

  function head(variant, place) {
    const name = [element("strong", {}, variant.role), variant.role === "patched" ? ` ${variant.name}` : ""];
    if (!run.judges.length) return name;
    const difference = variant.role === "patched" ? change(place) : null;
    const moved = difference === null ? "" : ` (${number(difference, { signed: true, places: 2 })})`;
    const words = `score ${number(score(variant, place), { places: 2 })}${moved}`;
    return [...name, " ", element("span", { class: "score" }, words)];
  }

  function card(place) {
    const prompt = element("p", { class: "prompt", dir: "auto" },
      element("span", { class: "tag" }, run.datasets[place]), ` ${data.texts[run.prompts[place]]}`);
    const texts = columns().map((variant) => element("div", { class: variant.role },
      element("dt", {}, ...head(variant, place)), element("dd", { dir: "auto" }, ...body(variant, place))));
    return element("article", { class: "comparison" }, prompt, element("dl", {}, ...texts));
  }

  const pager = new Rows.Pager(document.getElementById("completions-pager"), "prompts", [5, 10, 25, 100], (places) => {
    list.replaceChildren(...places.map(card));
  });

  function show() {
    const words = choice("find").value.trim().toLowerCase();
    const dataset = choice("dataset").value;
    const filter = filters[choice("show").value];
    const least = Number(choice("least").value);
    const places = run.prompts.map((_, place) => place).filter((place) => (
      (dataset === "" || run.datasets[place] === dataset)
      && (!filter || filter(place))
      && (!least || Math.abs(change(place)) >= least)
      && (words === "" || found(place, words))));
    const order = orders[choice("order").value];
    if (order) {
      const [value, direction] = order;
      places.sort((one, other) => Rows.compare(value(one), value(other), direction) || one - other);
    }
    pager.show(places);
  }

  function chooseRun() {
    run = data.runs[Number(choice("run").value)];
    const datasets = [...new Set(run.datasets)];
    Rows.fill(choice("set"), of("patched").map((variant, place) => [place, variant.name]), 0);
    Rows.fill(choice("dataset"), [["", "all"], ...datasets.map((name) => [name, name])], "");
    Rows.fill(choice("judge"), run.judges.map((judge, place) => [place, judge]), 0);
    show();
  }

  Rows.fill(choice("run"), data.runs.map((one, place) => [place, one.run]), 0);
  choice("run").addEventListener("change", chooseRun);
  for (const name of ["set", "dataset", "judge", "show", "order"]) choice(name).addEventListener("change", show);
  for (const name of ["find", "least"]) choice(name).addEventListener("input", show);
  chooseRun();
})();
