"use strict";
// What the tables of the page share. Text goes in as text, never as markup.
const Rows = (() => {
  const MISSING = "\u2013";

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  function data(id) {
    const found = document.getElementById(id);
    return found && JSON.parse(found.textContent);
  }

  function number(value, { signed = false, places = null } = {}) {
    if (value === null || value === undefined) return MISSING;
    let text = String(value);
    if (places !== null) text = value.toFixed(places);
    else if (Number.isInteger(value)) text = value.toLocaleString("en");
    if (signed && value > 0) text = `+${text}`;
    return text.replace(/-/g, "\u2212");
  }

  function fill(select, options, chosen) {
    select.replaceChildren(...options.map(([value, label]) => {
      const option = element("option", { value }, label);
      option.selected = String(value) === String(chosen);
      return option;
    }));
    select.disabled = options.length < 2;
  }

  // A bar of buttons under a list. draw(items) shows the items of one page.
  class Pager {
    constructor(bar, noun, sizes, draw) {
      Object.assign(this, { noun, draw, items: [], page: 0 });
      this.status = element("p", { role: "status", class: "status" });
      this.size = element("select");
      fill(this.size, sizes.map((size) => [size, String(size)]), sizes[0]);
      this.size.addEventListener("change", () => this.show(this.items));
      const buttons = [["First", () => 0], ["Previous", () => this.page - 1], ["Next", () => this.page + 1],
        ["Last", () => this.last]];
      this.buttons = buttons.map(([label, target]) => {
        const button = element("button", { type: "button", "aria-label": `${label} page of ${noun}` }, label);
        button.addEventListener("click", () => { this.page = target(); this.update(); });
        return button;
      });
      bar.append(this.status, ...this.buttons, element("label", {}, "Rows a page ", this.size));
    }

    get last() { return Math.max(0, Math.ceil(this.items.length / Number(this.size.value)) - 1); }

    show(items) {
      this.items = items;
      this.page = 0;
      this.update();
    }

    update() {
      const size = Number(this.size.value);
      const first = this.page * size;
      const shown = this.items.slice(first, first + size);
      this.draw(shown);
      const total = number(this.items.length);
      this.status.textContent = shown.length
        ? `${number(first + 1)} to ${number(first + shown.length)} of ${total} ${this.noun}`
        : `No ${this.noun} fit`;
      const ends = [this.page === 0, this.page === 0, this.page >= this.last, this.page >= this.last];
      this.buttons.forEach((button, place) => { button.disabled = ends[place]; });
    }
  }

  // Make a heading a button that sorts: once from the top, again the other way round.
  function sorting(heading, table, sort) {
    const button = element("button", { type: "button", class: "sort" }, ...heading.childNodes);
    heading.replaceChildren(button);
    heading.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const down = heading.getAttribute("aria-sort") === "descending";
      unsorted(table);
      heading.setAttribute("aria-sort", down ? "ascending" : "descending");
      sort(down ? 1 : -1);
    });
  }

  function unsorted(table) {
    for (const other of table.querySelectorAll("th[aria-sort]")) other.setAttribute("aria-sort", "none");
  }

  // Nothing known comes last in both directions.
  function compare(one, other, direction) {
    if (one === other) return 0;
    if (one === null) return 1;
    if (other === null) return -1;
    if (typeof one === "string") return direction * one.localeCompare(other, "en", { numeric: true });
    return direction * (one - other);
  }

  function value(cell) {
    const text = cell.textContent;
    if (!cell.classList.contains("number")) return text;
    const parsed = Number(text.replace(/\u2212/g, "-").replace(/,/g, ""));
    return Number.isNaN(parsed) ? null : parsed;
  }

  function sortStatic(table) {
    const body = table.tBodies[0];
    [...table.tHead.rows[0].cells].forEach((heading, column) => sorting(heading, table, (direction) => {
      const rows = [...body.rows].map((row) => [value(row.cells[column]), row]);
      rows.sort(([one], [other]) => compare(one, other, direction));
      body.append(...rows.map(([, row]) => row));
    }));
  }

  document.querySelectorAll("table.sortable").forEach(sortStatic);
  document.querySelectorAll(".scripted").forEach((part) => { part.hidden = false; });
  document.querySelectorAll("form.controls:not([action])").forEach((form) => {
    form.addEventListener("submit", (event) => event.preventDefault());
  });

  // Printed pages show what is folded on the screen, but for whole configurations.
  const opened = [];
  addEventListener("beforeprint", () => {
    for (const part of document.querySelectorAll("section > details:not([open]), details.more:not([open])")) {
      part.open = true;
      opened.push(part);
    }
  });
  addEventListener("afterprint", () => { opened.splice(0).forEach((part) => { part.open = false; }); });

  return { MISSING, element, data, number, fill, Pager, sorting, unsorted, compare, sortStatic };
})();
