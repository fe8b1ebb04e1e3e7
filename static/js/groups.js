/* The board in groups: opened and closed by click and key, the numbers follow what happens. Headings keep their place
   while somebody reads; what would move them waits behind the button above. */
"use strict";
(() => {
  const board = () => document.getElementById("board");
  if (board()?.dataset.arrivals !== "groups") return;
  const REFRESH_MS = 2000;
  const rows = () => document.getElementById("rows"), arrivals = document.getElementById("arrivals");
  const headings = () => [...rows().querySelectorAll("tr.group")];
  const headingOf = (key) => headings().find((row) => row.dataset.group === key);
  /* The rows between a heading and the next one. */
  const below = (heading) => {
    const list = [];
    for (let row = heading.nextElementSibling; row && !row.matches(".group, [data-more=beyond]"); row = row.nextElementSibling) {
      list.push(row);
    }
    return list;
  };
  const address = () => new URLSearchParams(location.search);

  const read = async () => {
    const answer = await fetch(`/alerts/groups/?${address()}`, { headers: { Accept: "text/html" } });
    if (answer.redirected) { location.reload(); throw new Error("signed out"); }
    if (!answer.ok) throw new Error(answer.statusText);
    const template = document.createElement("template");
    template.innerHTML = await answer.text();
    return [...template.content.children];
  };
  /* A heading in place: its words, never its position or its focus. */
  const update = (old, fresh) => {
    const held = old.classList.contains("at");
    old.className = fresh.className;
    old.classList.toggle("at", held);
    old.dataset.number = fresh.dataset.number;
    for (const part of [".number", ".badge", ".about"]) old.querySelector(part).replaceWith(fresh.querySelector(part));
    const link = old.querySelector(".toggle"), now = fresh.querySelector(".toggle");
    link.href = now.href;
    link.setAttribute("aria-expanded", now.getAttribute("aria-expanded"));
    Times.tick(old);
  };
  const same = (list) => {
    const shown = [...rows().children].filter((row) => !row.matches(".leaving, .under"));
    const name = (row) => row.dataset.group !== undefined ? `g${row.dataset.group}` : row.id || `m${row.dataset.more}`;
    return shown.map(name).join("\n") === list.map(name).join("\n");
  };
  /* Everything where the server has it; rows and headings that stay are the same elements. */
  const arrange = (list) => {
    const focus = document.activeElement;
    let last = null;
    const keep = new Set();
    for (const fresh of list) {
      let row = fresh.matches(".group") ? headingOf(fresh.dataset.group) : fresh.id ? Board.rowOf(fresh.dataset.id) : null;
      if (row && fresh.matches(".group")) update(row, fresh);
      else if (row) { Board.replace(row, fresh.outerHTML); row = Board.rowOf(fresh.dataset.id); }
      else row = fresh;
      const next = last ? last.nextElementSibling : rows().firstElementChild;
      if (next !== row) { if (last) last.after(row); else rows().prepend(row); }
      if (row === fresh && row.dataset.id) Board.restore(row);
      if (row === fresh && row.matches(".group")) Times.tick(row);
      keep.add(row);
      last = row;
    }
    for (const row of [...rows().children]) if (!keep.has(row) && !row.dataset.under) row.remove();
    if (focus.isConnected && focus !== document.activeElement) focus.focus({ preventScroll: true });
    arrivals.hidden = true;
    Board.settle();
  };
  let asked = 0;
  const renew = async (now) => {
    const turn = ++asked;
    let list;
    try { list = await read(); } catch { return; }
    if (turn !== asked) return;
    if (now || !Board.readerIsElsewhere() || same(list)) { arrange(list); return; }
    let others = 0;
    for (const fresh of list.filter((row) => row.matches(".group"))) {
      const old = headingOf(fresh.dataset.group);
      if (old) update(old, fresh); else others += 1;
    }
    const there = new Set(list.filter((row) => row.matches(".group")).map((row) => row.dataset.group));
    for (const old of headings()) if (!there.has(old.dataset.group)) old.querySelector(".number").textContent = "0";
    arrivals.hidden = false;
    arrivals.textContent = others ? `${others} new group${others === 1 ? "" : "s"}. Show` : "The groups changed. Show";
  };

  /* --- opening and closing ----------------------------------------------------------------------------------- */
  const go = (url) => {
    history.replaceState(history.state, "", url);
    return renew(true);
  };
  const turn = (heading) => {
    const wanted = address(), key = heading.dataset.group, open = wanted.getAll("open");
    wanted.delete("open");
    const closing = open.includes(key);
    for (const one of closing ? open.filter((other) => other !== key) : [...open, key]) wanted.append("open", one);
    if (closing) for (const row of below(heading)) row.remove();
    heading.querySelector(".toggle").setAttribute("aria-expanded", String(!closing));
    return go(`/alerts/?${wanted}`);
  };
  document.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    const heading = event.target.closest("#rows tr.group"), more = event.target.closest("[data-more-rows]");
    if (more) { event.preventDefault(); go(more.href); return; }
    if (!heading || !getSelection().isCollapsed) return;
    event.preventDefault();
    Board.pick(heading, false);
    turn(heading);
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const at = rows().querySelector("tr.at");
    if (!at || event.target.closest("input, textarea, select")) return;
    let heading = at;
    while (heading && !heading.matches(".group")) heading = heading.previousElementSibling;
    if (!heading) return;
    const open = heading.querySelector(".toggle").getAttribute("aria-expanded") === "true";
    if (event.key === "ArrowRight" && heading === at && !open) turn(heading);
    else if (event.key === "ArrowLeft" && open) { Board.pick(heading); turn(heading); }
    else if ((event.key === "e" || event.key === " ") && heading === at) turn(heading);
    else return;
    event.preventDefault();
  });

  /* --- what happens meanwhile ---------------------------------------------------------------------------------- */
  let due = null, read_at = 0;
  document.addEventListener("board:alerts", (event) => {
    if (!event.detail.changes.length && !event.detail.more) return;
    due ??= setTimeout(() => { due = null; read_at = Date.now(); renew(false); },
      Math.max(0, read_at + REFRESH_MS - Date.now()));
  });
  document.addEventListener("board:show", () => renew(true));
})();
