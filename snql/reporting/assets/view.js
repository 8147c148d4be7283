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
        const response = await fetch("/progress");
        if (!response.ok) throw new Error(response.statusText);
        const answer = await response.json();
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
  const LONGEST_IN_ADDRESS = 8000;
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
      await draw(part);
      status.remove();
    } catch {
      status.textContent = "This could not be fetched.";
    }
  }

  function draw(part) {
    part.querySelectorAll("table.sortable").forEach(Rows.sortStatic);
    const chart = part.querySelector("script.chart-spec");
    return chart ? library().then(() => Charts.draw(chart)) : null;
  }

  // A question: its answer takes the place of the one before. Another question, Stop and leaving the page end it.
  let asking = null;
  const stop = document.querySelector("[data-stop]");

  async function ask(form) {
    asking?.abort();
    const own = new AbortController();
    asking = own;
    const fields = new URLSearchParams(new FormData(form));
    const sql = fields.get("sql"); // a reload, Back or a bookmark then finds the question again
    if (sql && sql.length < LONGEST_IN_ADDRESS) history.replaceState(null, "", `/sql?${new URLSearchParams({ sql })}`);
    if (dark) fields.set("dark", "1");
    const place = document.getElementById("answer");
    place.setAttribute("aria-busy", "true");
    stop.disabled = false;
    try {
      const answer = await fetch("/sql", { method: "POST", body: fields, signal: own.signal });
      const made = new DOMParser().parseFromString(await answer.text(), "text/html");
      place.replaceChildren(...(made.getElementById("answer") ?? made.getElementById("main")).childNodes);
      place.querySelectorAll("form[data-ask]").forEach(listen);
      draw(place);
    } catch (error) {
      if (asking !== own) return;
      const words = error.name === "AbortError" ? "Stopped." : "The server does not answer.";
      place.replaceChildren(Rows.element("p", { class: "note", role: "status" }, words));
    }
    if (asking === own) {
      asking = null;
      stop.disabled = true;
      place.removeAttribute("aria-busy");
    }
  }

  function listen(form) {
    form.addEventListener("submit", (event) => {
      if (event.submitter?.hasAttribute("formaction")) return;
      event.preventDefault();
      ask(form);
    });
    form.querySelectorAll("select[data-again]").forEach((select) => {
      select.addEventListener("change", () => ask(form));
    });
  }

  document.querySelectorAll("form[data-ask]").forEach(listen);
  stop?.addEventListener("click", () => asking?.abort());

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

// Completion: what could be written next stands below the box; Tab takes the chosen one.
(() => {
  const box = document.querySelector("textarea[data-complete]");
  if (!box) return;
  const list = document.getElementById("suggestions");
  let found = [];
  let chosen = 0;
  let waiting = null;
  let asked = 0;

  function close() {
    found = [];
    list.hidden = true;
  }

  function show() {
    list.hidden = found.length === 0;
    list.replaceChildren(...found.map((one, place) => {
      const item = Rows.element("li", { role: "option", "aria-selected": String(place === chosen) }, one.text, " ",
        Rows.element("span", { class: "kind" }, one.kind));
      item.addEventListener("pointerdown", (event) => { event.preventDefault(); take(place); });
      return item;
    }));
  }

  function take(place) {
    const { text, length } = found[place];
    box.setRangeText(text, box.selectionStart - length, box.selectionStart, "end");
    close();
    box.focus();
  }

  async function look() {
    const own = asked += 1;
    if (box.selectionStart !== box.selectionEnd) return close();
    const fields = new URLSearchParams({ sql: box.value, position: [...box.value.slice(0, box.selectionStart)].length });
    try {
      const answer = await fetch(box.dataset.complete, { method: "POST", body: fields });
      const suggested = await answer.json();
      if (own === asked) { found = suggested; chosen = 0; show(); }
    } catch { close(); }
  }

  box.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(look, 120); });
  box.addEventListener("blur", close);
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { close(); box.form.requestSubmit(); }
    if (found.length === 0) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) chosen = (chosen + step + found.length) % found.length;
    if (step) show();
    else if (event.key === "Tab" && !event.shiftKey) take(chosen);
    else if (event.key === "Escape") close();
    else return;
    event.preventDefault();
  });
})();

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
