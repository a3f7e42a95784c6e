"use strict";
(() => {
  const bar = document.querySelector(".filter");
  const rows = [...document.querySelectorAll(".row")].map((row) => [row, row.textContent.toLowerCase()]);
  if (bar && rows.length) {
    bar.hidden = false;
    const words = bar.querySelector(".words");
    const choices = [...bar.querySelectorAll("select.choice")];
    const matches = bar.querySelector(".matches");
    const fits = (row, choice) => !choice.value || (row.dataset[choice.dataset.key] || "").split(" ").includes(choice.value);
    const filter = () => {
      const wanted = words.value.trim().toLowerCase();
      let number = 0;
      for (const [row, text] of rows) {
        row.hidden = !(text.includes(wanted) && choices.every((choice) => fits(row, choice)));
        number += !row.hidden;
      }
      for (const group of document.querySelectorAll(".part-of-contract, tbody.area"))
        group.hidden = !group.querySelector(".row:not([hidden])");
      matches.textContent = number < rows.length ? `${number} of ${rows.length}` : "";
    };
    words.addEventListener("input", filter);
    for (const choice of choices) choice.addEventListener("change", filter);
  }

  // A click on a column's name sorts its rows, worst first; a second one puts them back into the contract's order.
  for (const table of document.querySelectorAll("table.sortable")) {
    const bodies = [...table.tBodies];
    const lines = bodies.flatMap((body) => [...body.rows].map((row) => [row, body]));
    for (const head of table.tHead.querySelectorAll("th[data-column]")) {
      const button = head.querySelector("button");
      button.disabled = false;
      button.addEventListener("click", () => {
        const sorted = head.ariaSort === "descending";
        for (const other of table.tHead.querySelectorAll("th[data-column]")) other.ariaSort = "none";
        table.classList.toggle("sorted", !sorted);
        if (sorted) {
          for (const [row, body] of lines) body.append(row);
          return;
        }
        head.ariaSort = "descending";
        const at = Number(head.dataset.column);
        const weight = ([row]) => row.classList.contains("row") ? Number(row.querySelector(`[data-at="${at}"]`)?.dataset.weight ?? -1) : -2;
        for (const [row] of [...lines].sort((a, b) => weight(b) - weight(a))) bodies[0].append(row);
      });
    }
  }
  for (const button of document.querySelectorAll("button.copy")) {
    button.hidden = false;
    const words = button.textContent;
    button.addEventListener("click", async () => {
      try { await navigator.clipboard.writeText(button.dataset.copy); button.textContent = "Copied"; }
      catch { button.textContent = "Select it and copy"; }
      setTimeout(() => { button.textContent = words; }, 1600);
    });
  }
})();
