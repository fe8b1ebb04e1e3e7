/* Which alerts are selected: by mouse, finger or keys, one, a range, a page, or all that match. The selection is of ids,
   not of rows: it outlives rows that change, leave or are loaded anew. What is done with it is in hand.js. */
"use strict";
window.Selection = (() => {
  const chosen = new Map();      // id -> title
  let all = null;                // {number, asOf, filter}: all that matched then
  let offered = null;            // the same, before it is taken
  let anchor = null;             // where a range begins
  const rows = () => [...document.querySelectorAll("#rows > tr[data-id]")];
  const box = (row) => row.querySelector(".pick input");
  const changed = () => {
    for (const row of rows()) show(row);
    const tick = document.getElementById("pick-page"), list = rows();
    if (tick) {
      const number = list.filter((row) => has(row.dataset.id)).length;
      tick.checked = number > 0 && number === list.length;
      tick.indeterminate = number > 0 && number < list.length;
    }
    document.dispatchEvent(new Event("selection:changed"));
  };
  const has = (id) => chosen.has(id);
  const show = (row) => {
    const tick = box(row);
    if (tick) tick.checked = has(row.dataset.id);
    row.toggleAttribute("data-picked", has(row.dataset.id));
  };
  const put = (row, on) => {
    if (on) chosen.set(row.dataset.id, row.querySelector(".what")?.textContent ?? "");
    else chosen.delete(row.dataset.id);
    if (!on) all = null;
  };
  const set = (row, on = !has(row.dataset.id)) => {
    put(row, on);
    anchor = row.dataset.id;
    changed();
  };
  /* From the last one to this one, which becomes the last one. */
  const range = (row) => {
    const list = rows(), to = list.indexOf(row);
    let from = list.findIndex((other) => other.dataset.id === anchor);
    if (from < 0) from = to;
    for (const other of list.slice(Math.min(from, to), Math.max(from, to) + 1)) put(other, true);
    anchor = row.dataset.id;
    changed();
  };
  const page = () => {
    const list = rows(), every = list.every((row) => has(row.dataset.id));
    if (every && offered && !all && offered.number > list.length) { takeAll(); return; }
    for (const row of list) put(row, true);
    changed();
    if (!offered) ask();
  };
  const clear = () => {
    chosen.clear();
    all = offered = anchor = null;
    changed();
  };
  /* How many match, as of what the board has shown: what waits above is not among them. */
  const ask = async () => {
    const filter = new URLSearchParams(location.search);
    for (const name of ["cursor", "ordering"]) filter.delete(name);
    const query = new URLSearchParams(filter);
    query.set("as_of", String(Board.seen()));
    try {
      const answer = await fetch(`/alerts/matching/?${query}`, { headers: { Accept: "application/json" } });
      if (!answer.ok || answer.redirected) return;
      const found = await answer.json();
      if (!chosen.size) return;
      offered = { number: found.number, more: found.more, asOf: found.as_of, filter: filter.toString() };
      changed();
    } catch { /* the offer is missing, nothing else */ }
  };
  const takeAll = () => {
    if (!offered) return;
    all = offered;
    for (const row of rows()) put(row, true);
    changed();
  };

  document.addEventListener("click", (event) => {
    const tick = event.target.closest("#rows .pick input");
    if (!tick) return;
    const row = tick.closest("tr");
    if (event.shiftKey && anchor) range(row); else set(row, tick.checked);
  });
  document.addEventListener("change", (event) => {
    if (event.target.id !== "pick-page") return;
    if (event.target.checked) page(); else clear();
  });
  document.addEventListener("board:row", (event) => show(event.target));
  document.addEventListener("board:page", () => changed());
  return {
    has, set, range, page, clear, takeAll, row: show,
    size: () => (all ? all.number : chosen.size),
    ids: () => [...chosen.keys()],
    all: () => all,
    offered: () => (all ? null : offered),
    gone: () => (all ? 0 : [...chosen.keys()].filter((id) => !document.getElementById(`alert-${id}`)).length),
    title: () => (chosen.size === 1 ? [...chosen.values()][0] : ""),
  };
})();
