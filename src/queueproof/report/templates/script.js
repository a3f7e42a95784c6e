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

  const bar = document.querySelector(".filter");
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
