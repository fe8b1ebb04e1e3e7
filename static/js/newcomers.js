/* Marks rows that came since the operator looked. Looking is doing something on the page: a key, a click, a scroll. */
"use strict";
(() => {
  const GRACE_MS = 3000;         // what came this instant was not seen yet
  const KEY = "board:looked";    // sessionStorage: when the newest alert seen here had begun
  const fresh = new Map();       // id -> when it came
  const rows = () => document.querySelectorAll("#rows > tr[data-at]");
  const show = (row) => {
    const cell = row.querySelector("td.since"), has = cell?.querySelector(".new");
    const wanted = fresh.has(row.dataset.id);
    row.toggleAttribute("data-new", wanted);
    if (wanted && cell && !has) {
      const mark = document.createElement("span");
      mark.className = "new";
      mark.textContent = "new";
      mark.title = "Came since you looked";
      cell.append(mark);
    } else if (!wanted) has?.remove();
  };
  const keep = () => {
    const newest = Math.max(0, ...[...rows()].filter((row) => !fresh.has(row.dataset.id)).map((row) => Number(row.dataset.at)));
    try {
      if (newest > Number(sessionStorage.getItem(KEY))) sessionStorage.setItem(KEY, String(newest));
    } catch { /* a private window: marked for this page only */ }
  };
  const look = () => {
    if (document.hidden || !fresh.size) return;
    for (const [id, at] of fresh) {
      if (Date.now() - at < GRACE_MS) continue;
      fresh.delete(id);
      const row = document.getElementById(`alert-${id}`);
      if (row) show(row);
    }
    keep();
  };
  document.addEventListener("board:new", (event) => {
    fresh.set(event.target.dataset.id, Date.now());
    show(event.target);
  });
  document.addEventListener("board:row", (event) => show(event.target));
  document.addEventListener("board:page", () => { for (const row of rows()) show(row); });
  for (const name of ["keydown", "pointerdown", "wheel", "scroll"]) addEventListener(name, look, { passive: true, capture: true });
  addEventListener("pagehide", keep);
  document.addEventListener("DOMContentLoaded", () => {
    let looked = 0;
    try { looked = Number(sessionStorage.getItem(KEY)); } catch { /* as above */ }
    if (looked && document.getElementById("board")?.dataset.arrivals === "here") {
      for (const row of rows()) if (Number(row.dataset.at) > looked) { fresh.set(row.dataset.id, Date.now()); show(row); }
    }
    keep();
  });
})();
