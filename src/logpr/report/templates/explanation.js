"use strict";
(() => {
  const text = (cell) => {
    const summary = cell.querySelector("summary");
    return (summary || cell).textContent.trim();
  };
  const number = (words) => {
    const plain = words.replace(/[,%≤#]/g, "").trim();
    if (plain === "inf" || plain === "+inf") return Infinity;
    if (plain === "-inf") return -Infinity;
    return plain === "" ? NaN : Number.parseFloat(plain);
  };
  const compare = (a, b) => {
    const [x, y] = [number(a), number(b)];
    if (!Number.isNaN(x) && !Number.isNaN(y)) return x === y ? 0 : x < y ? -1 : 1;
    if (Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1;
    return a.localeCompare(b);
  };

  const sort = (table, head, at) => {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = table.tBodies[0];
    const keyed = [...body.rows].map((row) => [row.cells[at] ? text(row.cells[at]) : "", row]);
    keyed.sort((one, two) => (down ? -1 : 1) * compare(one[0], two[0]));
    body.append(...keyed.map((each) => each[1]));
  };

  const copy = async (words, button) => {
    let done = false;
    try {
      await navigator.clipboard.writeText(words);
      done = true;
    } catch {
      const area = document.createElement("textarea");
      area.value = words;
      document.body.append(area);
      area.select();
      done = document.execCommand("copy");
      area.remove();
    }
    button.textContent = done ? "copied" : "could not copy";
    setTimeout(() => { button.textContent = "copy as TSV"; }, 1500);
  };

  for (const table of document.querySelectorAll("table.logpr-sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, at) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      button.title = "sort";
      button.addEventListener("click", () => sort(table, head, at));
      head.replaceChildren(button);
    });
    const button = document.createElement("button");
    button.type = "button";
    button.className = "logpr-copy";
    button.setAttribute("aria-live", "polite");
    button.textContent = "copy as TSV";
    button.addEventListener("click", () => {
      const lines = [table.tHead.rows[0], ...table.tBodies[0].rows];
      const cells = (row) => [...row.cells].map((cell) => text(cell).replace(/\s+/g, " "));
      copy(lines.map((row) => cells(row).join("\t")).join("\n") + "\n", button);
    });
    (table.caption.firstElementChild || table.caption).append(button);
  }

  const lit = (at, on) => {
    for (const each of document.querySelectorAll(`[data-at="${at}"]`)) each.classList.toggle("logpr-lit", on);
  };
  for (const each of document.querySelectorAll("[data-at]")) {
    each.addEventListener("mouseenter", () => lit(each.dataset.at, true));
    each.addEventListener("mouseleave", () => lit(each.dataset.at, false));
  }
})();
