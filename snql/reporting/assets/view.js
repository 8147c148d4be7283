"use strict";
// What all pages of snql view do by themselves: they show how far runs are.
(() => {
  const watched = document.querySelector("[data-watch]");
  const SECONDS = { busy: 1.5, quiet: 6 };
  let mark = null;

  async function page(address) {
    const answer = await fetch(address, { headers: { Accept: "text/html" } });
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  }

  // Runs began or ended: what the server would show now takes the place of what is shown.
  async function renew() {
    const found = (await page(location.href)).getElementById("main");
    if (found) document.getElementById("main").replaceChildren(...found.childNodes);
  }

  function advance(run) {
    const place = document.querySelector(`[data-run="${run.run_id}"]`);
    const bar = place?.querySelector("progress");
    const words = place?.querySelector(".amount");
    if (bar && run.share !== null) bar.value = run.share;
    if (words) words.textContent = run.words;
  }

  async function look() {
    let busy = false;
    try {
      if (!document.hidden) {
        const answer = await (await fetch("/progress")).json();
        if (mark !== null && mark !== answer.mark) await renew();
        mark = answer.mark;
        answer.runs.forEach(advance);
        busy = answer.runs.some((run) => run.status === "running");
      }
    } catch { /* the server is gone, or the file is being written for long: it may be back */ }
    setTimeout(look, 1000 * (busy ? SECONDS.busy : SECONDS.quiet));
  }

  if (watched) look();
})();

// Parts of a page that are fetched when they are opened: figures and tables.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches ? "?dark" : "";
  let loading = null;

  function library() {
    const address = document.documentElement.dataset.charts;
    loading ??= new Promise((done, failed) => {
      const script = Rows.element("script", { src: address });
      script.addEventListener("load", done);
      script.addEventListener("error", failed);
      document.head.append(script);
    });
    return loading;
  }

  async function fill(part) {
    const status = Rows.element("p", { class: "note", role: "status" }, "Drawing\u2026");
    part.append(status);
    try {
      const answer = await fetch(part.dataset.load + dark);
      const made = new DOMParser().parseFromString(await answer.text(), "text/html");
      const found = made.getElementById("part") ?? made.getElementById("main");
      part.append(...found.childNodes);
      part.querySelectorAll("table.sortable").forEach(Rows.sortStatic);
      const chart = part.querySelector("script.chart-spec");
      if (chart) await library().then(() => Charts.draw(chart));
      status.remove();
    } catch {
      status.textContent = "This could not be fetched.";
    }
  }

  for (const part of document.querySelectorAll("details[data-load]")) {
    part.addEventListener("toggle", () => { if (part.open) fill(part); }, { once: true });
    if ("first" in part.dataset) part.open = true;
  }
  if (document.querySelector("script.chart-spec")) {
    library().then(() => document.querySelectorAll("script.chart-spec").forEach((chart) => Charts.draw(chart)));
  }
})();

// The basket: neurons that are put aside. It lies in this browser, since nothing is written to the database.
(() => {
  const KEY = "snql-basket";
  const { element } = Rows;
  const counter = document.querySelector(".basket-count");
  const button = document.querySelector("button[data-basket]");
  const section = document.querySelector("[data-basket-list]");

  function read() {
    try {
      const found = JSON.parse(localStorage.getItem(KEY) ?? "[]");
      return Array.isArray(found) ? found.filter((name) => /^L\d+(\.E\d+)?\.N\d+$/.test(name)) : [];
    } catch { return []; }
  }

  function write(names) {
    localStorage.setItem(KEY, JSON.stringify(names));
    show();
  }

  function toggle(name) {
    const names = read();
    write(names.includes(name) ? names.filter((other) => other !== name) : [...names, name]);
  }

  function item(name) {
    const remove = element("button", { type: "button", "aria-label": `Take ${name} out` }, "\u00d7");
    remove.addEventListener("click", () => toggle(name));
    return element("li", {}, element("a", { href: `/neuron/${name}` }, name), remove);
  }

  function show() {
    const names = read();
    counter.textContent = `Basket ${names.length}`;
    counter.hidden = names.length === 0;
    if (button) {
      const inside = names.includes(button.dataset.basket);
      button.textContent = inside ? "Take out of basket" : "Add to basket";
      button.setAttribute("aria-pressed", String(inside));
    }
    if (section) {
      section.hidden = names.length === 0;
      section.querySelector("ul").replaceChildren(...names.map(item));
      section.querySelector("code").textContent = names.join(",");
      section.querySelector("a[href^='/sets']").href = `/sets?expr=${encodeURIComponent(names.join(","))}`;
    }
  }

  button?.addEventListener("click", () => toggle(button.dataset.basket));
  section?.querySelector("[data-clear]").addEventListener("click", () => write([]));
  addEventListener("storage", show);
  show();
})();

// Forms that show something again when a choice changes.
document.querySelectorAll("form[data-submit] select").forEach((select) => {
  select.addEventListener("change", () => select.form.requestSubmit());
});

// Keys: / goes to the box for neurons, j and k to the next and previous by rank.
addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const target = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (!target) return;
  event.preventDefault();
  if (target.tagName === "A") target.click();
  else target.focus();
});
