"use strict";
(() => {
  const show = (element) => { element.hidden = false; };
  const copy = async (text) => {
    try { await navigator.clipboard.writeText(text); return true; } catch { /* not allowed here: the old way */ }
    const area = document.createElement("textarea");
    area.value = text;
    area.style.position = "fixed";
    area.style.opacity = "0";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  };
  for (const button of document.querySelectorAll("button.copy")) {
    show(button);
    const words = button.textContent;
    button.addEventListener("click", async () => {
      button.textContent = (await copy(button.dataset.copy)) ? "Copied" : "Select it and copy";
      setTimeout(() => { button.textContent = words; }, 1600);
    });
  }

  // Every call of the run: only the rows in sight are elements.
  const calls = () => {
    const { texts, rows } = JSON.parse(document.getElementById("calls-data").textContent);
    if (!rows.length) return;
    for (const element of document.querySelectorAll(".with-calls")) show(element);
    document.querySelector("#calls-title .number").textContent = rows.length.toLocaleString("en");
    const table = document.querySelector(".calls");
    const reel = table.querySelector(".reel");
    const result = document.getElementById("calls-result");
    const words = document.getElementById("calls-filter");
    const matches = document.getElementById("calls-matches");
    const span = (us) => us < 0 ? "no answer" : us < 1e3 ? `${us} µs` : us < 1e6 ? `${(us / 1e3).toFixed(1)} ms` : `${(us / 1e6).toFixed(3)} s`;
    for (const name of new Set(rows.map((row) => texts[row[5]]))) result.add(new Option(name, name));
    let found = rows;
    const cell = (row, text, kind, href) => {
      const element = document.createElement("span");
      element.role = "cell";
      element.className = kind;
      if (href) {
        const link = document.createElement("a");
        link.href = `#${href}`;
        link.textContent = text;
        element.append(link);
      } else element.textContent = text;
      row.append(element);
    };
    const draw = () => {
      const high = parseFloat(getComputedStyle(reel).getPropertyValue("--row"));
      reel.style.height = `${found.length * high}px`;
      const from = Math.max(0, Math.floor(table.scrollTop / high) - 8);
      const to = Math.min(found.length, Math.ceil((table.scrollTop + table.clientHeight) / high) + 8);
      const shown = [];
      for (let at = from; at < to; at += 1) {
        const [op, verb, begun, took, status, came, code, name, anchor] = found[at];
        const row = document.createElement("div");
        row.role = "row";
        row.ariaRowIndex = at + 2;
        row.className = `entry ${texts[came].replace(" ", "-")}`;
        row.style.top = `${at * high}px`;
        cell(row, `#${op}`, "op", texts[anchor]);
        cell(row, texts[verb], "verb");
        cell(row, `${(begun / 1e3).toFixed(3)} s`, "when");
        cell(row, span(took), "took");
        cell(row, [status || "none", texts[came], texts[code]].filter(Boolean).join(" · "), "result");
        cell(row, texts[name], "name");
        shown.push(row);
      }
      reel.replaceChildren(...shown);
    };
    const filter = () => {
      const wanted = words.value.trim().toLowerCase();
      found = rows.filter((row) => (!result.value || texts[row[5]] === result.value) &&
        (!wanted || [row[4], texts[row[1]], texts[row[6]], texts[row[7]], `#${row[0]}`].join(" ").toLowerCase().includes(wanted)));
      matches.textContent = found.length < rows.length ? `${found.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")}` : "";
      table.ariaRowCount = found.length + 1;
      table.scrollTop = 0;
      draw();
    };
    let due = 0;
    table.addEventListener("scroll", () => { cancelAnimationFrame(due); due = requestAnimationFrame(draw); });
    addEventListener("resize", draw);
    words.addEventListener("input", filter);
    result.addEventListener("change", filter);
    filter();
    table.style.minHeight = `${table.offsetHeight}px`;  // so that a filter moves nothing below it
  };

  // A link into something folded unfolds it, and everything around it.
  const reveal = () => {
    let id;
    try { id = decodeURIComponent(location.hash.slice(1)); } catch { return; }
    const target = id && document.getElementById(id);
    if (!target) return;
    if (target.matches("article.card")) target.querySelector("details").open = true;
    for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    target.scrollIntoView({ block: "start" });
  };
  addEventListener("hashchange", reveal);
  reveal();

  // What is folded would be missing on paper.
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("article.card > details:not([open])")];
    for (const part of folded) part.open = true;
  });
  addEventListener("afterprint", () => { for (const part of folded) part.open = false; });

  calls();

  const bar = document.querySelector("#requirements .filter");
  if (!bar) return;
  show(bar);
  const words = document.getElementById("filter");
  const outcome = document.getElementById("outcome");
  const matches = document.getElementById("matches");
  const lines = [...document.querySelectorAll(".lines.all > li")].map((line) => [line, line.textContent.toLowerCase()]);
  const filter = () => {
    const wanted = words.value.trim().toLowerCase();
    let number = 0;
    for (const [line, text] of lines) {
      line.hidden = !(text.includes(wanted) && (!outcome.value || line.dataset.outcome === outcome.value));
      number += !line.hidden;
    }
    matches.textContent = wanted || outcome.value ? `${number} of ${lines.length}` : "";
  };
  words.addEventListener("input", filter);
  outcome.addEventListener("change", filter);
})();
