/* The live board: puts rows the server rendered where they belong, and lets a hand on the keyboard act on them.
   Nothing moves under the reader's eye: rows change in place, arrivals wait above unless the reader is at the top.
   Ends with the keys of one alert's page. */
"use strict";
/* --- both pages ----------------------------------------------------------------------------------------- */
const OPENED = "opened";         // sessionStorage: id of the alert last opened from the board
const isTyping = (element) => Boolean(element.closest("input:not([type='checkbox']), textarea, select, [contenteditable]"));
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-close]")) event.target.closest("dialog").close();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || !event.target.matches("textarea")) return;
  event.preventDefault();
  if (!event.repeat) event.target.form?.requestSubmit();
});

/* --- the board ------------------------------------------------------------------------------------------ */
(() => {
  if (!document.getElementById("board")) return;
  const MAX_ROWS = 200, PAGE_ROWS = 50, MARK_MS = 6000, LEAVE_MS = 8000;
  const DEAD_MS = 30000;         // the server says something every 20 s
  const $ = (id) => document.getElementById(id);
  const board = () => $("board"), rows = () => $("rows"), live = $("live"), arrivals = $("arrivals");
  /* Rows of the board itself, and those that stand under the one that explains them. */
  const tops = () => [...rows().children].filter((row) => row.dataset.id && !row.dataset.under);
  const under = (id) => [...rows().children].filter((row) => row.dataset.under === id);
  const idsShown = () => [...tops(), ...rows().querySelectorAll("tr.under[data-id]")]
    .slice(0, MAX_ROWS).map((row) => row.dataset.id);

  /* --- rows ------------------------------------------------------------------------------------------ */
  let picked = null;             // id of the row the keyboard is at
  const leaving = new Map();     // id -> when its row may go
  const waiting = new Map();     // id -> html of rows that wait above
  let more = 0;                  // arrivals the server sent no row for
  let seen = Number(board().dataset.seq);  // up to here nothing waits above
  const welcome = new Set();     // ids of rows that may come back where they were, for they were just here

  const rowOf = (id) => $(`alert-${id}`);
  const parse = (html) => {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content.firstElementChild;
  };
  const mark = (row, name) => {
    row.classList.add(name);
    setTimeout(() => row.classList.remove(name), MARK_MS);
  };
  const restore = (row) => {
    if (row.dataset.id === picked) { row.classList.add("at"); row.setAttribute("aria-current", "true"); }
    if (leaving.has(row.dataset.id)) row.classList.add("ended", "leaving");
    dress(row);
    Times.tick(row);
    row.dispatchEvent(new CustomEvent("board:row", { bubbles: true }));
  };
  /* What a row says, with moments instead of the ages and times that tick or depend on the reader. */
  const said = (row) => [...row.cells].map((cell) => (cell.matches(".since") ? ""
    : [...cell.querySelectorAll("time")].reduce((text, time) => text.replace(time.textContent, time.dateTime),
      cell.textContent))).join("\n");
  const replace = (old, html) => {
    if (!leaving.has(old.dataset.id) && said(parse(html)) === said(old)) return;
    const row = parse(html), focus = document.activeElement;
    const within = old.contains(focus) ? focus.dataset.act || focus.className || "row" : null;
    old.replaceWith(row);
    leaving.delete(row.dataset.id);
    restore(row);
    mark(row, "changed");
    lookUnder(row.dataset.id);
    if (within) (row.querySelector(`[data-act="${within}"], a.${within}`) || row).focus({ preventScroll: true });
  };
  /* Newest first; a row that belongs below a full page is not this page's. */
  const place = (row) => {
    const at = Number(row.dataset.at);
    for (const other of tops()) {
      if (Number(other.dataset.at) <= at) { other.before(row); return true; }
    }
    if (tops().length >= PAGE_ROWS && document.querySelector('a[rel="next"]')) return false;
    rows().append(row);
    return true;
  };
  const insert = (html) => {
    const row = parse(html);
    if (rowOf(row.dataset.id) || !place(row)) return;
    restore(row);
    mark(row, "fresh");
    row.dispatchEvent(new CustomEvent("board:new", { bubbles: true }));
  };
  const leave = (row, change) => {
    const status = row.querySelector("td.status");
    if (change.status !== row.dataset.status && status) status.textContent = change.status;
    row.classList.add("ended", "leaving");
    for (const button of row.querySelectorAll("button")) button.remove();
    if (!leaving.has(change.id)) leaving.set(change.id, Date.now() + LEAVE_MS);
  };
  const sweep = () => {
    for (const [id, due] of leaving) {
      const row = rowOf(id);
      if (!row) leaving.delete(id);
      else if (Date.now() >= due && id !== picked && !row.contains(document.activeElement)) {
        drop(row);
        leaving.delete(id);
        for (const root of unfolded.keys()) lookUnder(root);
        settle();
      }
    }
  };
  const settle = () => {
    const list = tops();
    for (let i = list.length - 1; i >= MAX_ROWS && list[i].dataset.id !== picked; i--) drop(list[i]);
    const empty = rows().childElementCount === 0;
    rows().closest("table").hidden = empty;
    $("empty").hidden = !empty;
    document.dispatchEvent(new Event("board:settled"));
    tellShown();
  };

  /* --- what a row explains, under it ------------------------------------------------------------------ */
  const UNDER_MS = 700;
  const unfolded = new Map();    // id of a row -> timer of the next look at what stands under it, or null
  const dress = (row) => {
    const link = row.querySelector("a.explains");
    if (!link) return;
    link.setAttribute("role", "button");
    link.setAttribute("aria-expanded", String(unfolded.has(row.dataset.id)));
  };
  const fold = (id) => {
    clearTimeout(unfolded.get(id));
    unfolded.delete(id);
    const root = rowOf(id), list = under(id);
    const held = list.some((row) => row.dataset.id && row.dataset.id === picked);
    for (const row of list) row.remove();
    if (root) dress(root);
    if (held) pick(root);
    tellShown();
  };
  const drop = (row) => {
    if (unfolded.has(row.dataset.id)) fold(row.dataset.id);
    row.remove();
  };
  const lookUnder = (id) => {
    if (!unfolded.has(id) || unfolded.get(id) !== null) return;
    unfolded.set(id, setTimeout(() => { unfolded.set(id, null); unfold(id); }, UNDER_MS));
  };
  /* Rows that stay keep their place, their focus and their buttons under the hand. */
  const unfold = async (id) => {
    let text;
    if (!unfolded.has(id)) unfolded.set(id, null);
    try {
      const answer = await fetch(`/alerts/${id}/explains/?columns=${board().dataset.columns}`, { headers: { Accept: "text/html" } });
      if (answer.redirected) { location.reload(); return; }
      if (!answer.ok) throw new Error(answer.statusText);
      text = await answer.text();
    } catch {
      if (!under(id).length) { fold(id); complain("What this alert explains cannot be read now; try again."); }
      else lookUnder(id);
      return;
    }
    if (!unfolded.has(id) || !rowOf(id)) return;
    const template = document.createElement("template");
    template.innerHTML = text;
    const gone = new Set(under(id));
    let last = rowOf(id);
    for (const fresh of [...template.content.children]) {
      let row = fresh.dataset.id ? rowOf(fresh.dataset.id) : null;
      if (row && row.dataset.under !== id) continue;  // it has a row of its own on this board
      if (row) {
        gone.delete(row);
        replace(row, fresh.outerHTML);
        row = rowOf(fresh.dataset.id);
      } else row = fresh;
      if (last.nextElementSibling !== row) last.after(row);
      if (row === fresh) restore(row);
      last = row;
    }
    const held = [...gone].some((row) => row.dataset.id === picked && picked);
    for (const row of gone) row.remove();
    if (held) pick(rowOf(id), false);
    if (!under(id).length) fold(id); else { dress(rowOf(id)); tellShown(); }
  };
  const turnOver = (row) => {
    const id = row.dataset.under || row.dataset.id;
    if (unfolded.has(id)) fold(id);
    else if (row.querySelector("a.explains")) unfold(id);
  };

  /* --- arrivals --------------------------------------------------------------------------------------- */
  const readerIsElsewhere = () => {
    const selection = getSelection();
    return scrollY > 60 || picked !== null || window.Board?.holds?.() || unfolded.size > 0 || document.querySelector("dialog[open]")
      || rows().contains(document.activeElement) || (!selection.isCollapsed && rows().contains(selection.anchorNode));
  };
  const announce = () => {
    const number = waiting.size + more;
    arrivals.hidden = number === 0;
    if (number) arrivals.textContent = `${number.toLocaleString("en")} new. Show`;
  };
  const showArrivals = async () => {
    if (board().dataset.arrivals === "groups") { document.dispatchEvent(new Event("board:show")); return; }
    if (board().dataset.arrivals !== "here") { location.href = board().dataset.firstPage; return; }
    if (more) { await reload(); return; }
    for (const html of waiting.values()) insert(html);
    waiting.clear();
    seen = seq;
    announce();
    settle();
    scrollTo({ top: 0 });
  };

  /* --- messages ---------------------------------------------------------------------------------------- */
  const apply = (message) => {
    const here = board().dataset.arrivals === "here", grouped = board().dataset.arrivals === "groups";
    for (const change of message.changes) {
      let row = rowOf(change.id);
      if (row?.dataset.under) {
        lookUnder(row.dataset.under);
        if (!change.html) continue;
        row.remove();  // nothing explains it any more: it has a place of its own
        row = null;
      }
      if (row && change.html) replace(row, change.html);
      else if (row) leave(row, change);
      else if (!change.html) waiting.delete(change.id);
      else if (grouped) continue;  // its group says it
      else if (here && welcome.delete(change.id)) insert(change.html);
      else if (!here) more += change.event === "alert_created" ? 1 : 0;
      else waiting.set(change.id, change.html);
    }
    if (!grouped) more += message.more || 0;
    // A reader who stays at a row in a flood: what a page has no room for is only counted.
    for (const id of waiting.keys()) {
      if (waiting.size <= MAX_ROWS) break;
      waiting.delete(id);
      more += 1;
    }
    if (here && waiting.size && !readerIsElsewhere()) {
      for (const html of waiting.values()) insert(html);
      waiting.clear();
    } else if (here) {
      // What would not be on this page anyway is nothing to announce.
      const last = tops().at(-1);
      const full = tops().length >= PAGE_ROWS && document.querySelector('a[rel="next"]');
      for (const [id, html] of waiting) {
        if (full && Number(parse(html).dataset.at) < Number(last.dataset.at)) waiting.delete(id);
      }
    }
    if (!grouped) announce();
    settle();
    if (!waiting.size && !more) seen = Math.max(seen, message.seq);
    if (message.counts) count(message.counts);
  };
  const count = (counts) => {
    for (const element of document.querySelectorAll("[data-count]")) {
      const [group, name] = element.dataset.count.split(":");
      const number = counts[group]?.[name] ?? (group === "quiet" ? "" : 0);
      if (element.textContent !== String(number)) element.textContent = number;
      if (group !== "quiet") element.closest(".count")?.toggleAttribute("data-zero", number === 0);
    }
    title();
  };
  const title = () => {
    const critical = Number(document.querySelector('[data-count="severity:critical"]')?.textContent || 0);
    document.title = `${critical ? `(${critical}) ` : ""}Alerts · OpsConductor`;
  };

  /* --- the socket ---------------------------------------------------------------------------------------- */
  let socket = null, seq = Number(board().dataset.seq), backoff = 500, heard = Date.now(), lost = null, over = false;
  const send = (message) => { if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message)); };
  const sign = (state, text) => {
    live.hidden = false;
    live.dataset.state = state;
    if (live.textContent !== text) live.textContent = text;
  };
  const clock = (ms) => new Date(ms).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  const notLive = () => {
    lost ??= Date.now();
    sign("away", `Not live since ${clock(lost)}`);
  };
  let shownTimer = null;
  const tellShown = () => {
    clearTimeout(shownTimer);
    shownTimer = setTimeout(() => send({ type: "shown", ids: idsShown() }), 300);
  };
  const subscribe = () => send({
    type: "subscribe", format: "html", filter: location.search, since: seq, shown: idsShown(),
    columns: board().dataset.columns, views: true,
    events: ["alert_created", "alert_updated", "alert_resolved", "system_status"],
  });
  const connect = () => {
    const mine = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/alerts/`);
    socket = mine;
    heard = Date.now();
    mine.onopen = () => {
      if (socket !== mine) return;
      sign("catching-up", "Catching up");
      subscribe();
    };
    mine.onmessage = (event) => {
      if (socket !== mine) return;
      heard = Date.now();
      hear(JSON.parse(event.data));
    };
    mine.onclose = (event) => {
      if (socket !== mine) return;
      socket = null;
      if (event.code === 4003) {
        over = true;
        sign("away", "Signed out. Reload to sign in");
        return;
      }
      notLive();
      setTimeout(connect, backoff * (0.5 + Math.random()));
      backoff = Math.min(backoff * 2, 30000);
    };
  };
  /* Applied with the next frame and acknowledged then: a browser that cannot keep up is sent less. */
  const hear = (message) => {
    if (message.type === "alerts") {
      let done = false;
      const now = () => {
        if (done) return;
        done = true;
        apply(message);
        document.dispatchEvent(new CustomEvent("board:alerts", { detail: message }));
        seq = Math.max(seq, message.seq);
        send({ type: "ack", seq: message.seq });
      };
      if (document.hidden) now();
      else { requestAnimationFrame(now); setTimeout(now, 300); }
    } else if (message.type === "subscribed") {
      backoff = 500;
      lost = null;
      sign("live", "Live");
    } else if (message.type === "system_status") {
      if (message.database === "away") notLive();
      else { lost = null; sign("live", "Live"); }
    } else if (message.type === "views") {
      document.dispatchEvent(new CustomEvent("board:views", { detail: message.open }));
    } else if (message.type === "reload") {
      sign("catching-up", "Catching up");
      reload();
    }
  };
  /* The same page anew, without losing the connection, the place or the filters being typed. */
  const reload = async () => {
    try {
      const answer = await fetch(location.pathname + location.search, { headers: { Accept: "text/html" } });
      if (answer.redirected || !answer.ok) { location.reload(); return; }
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const id of ["board", "counts", "views"]) $(id).replaceWith(page.getElementById(id));
      document.querySelector(".pages").replaceWith(page.querySelector(".pages"));
    } catch {
      setTimeout(reload, 3000);
      return;
    }
    seq = seen = Number(board().dataset.seq);
    more = 0;
    waiting.clear();
    leaving.clear();
    const open = [...unfolded.keys()];
    for (const id of open) fold(id);
    for (const row of rows().children) dress(row);
    for (const id of open) if (rowOf(id)) unfold(id);
    if (picked && rowOf(picked)) pick(rowOf(picked)); else picked = null;
    Times.tick();
    announce();
    title();
    document.dispatchEvent(new Event("board:page"));
    subscribe();
  };
  setInterval(() => {
    if (socket && Date.now() - heard > DEAD_MS) {
      const dead = socket;
      socket = null;
      lost ??= heard;
      dead.close();
      notLive();
      connect();
    }
    sweep();
  }, 1000);
  addEventListener("online", () => { if (!socket && !over) { backoff = 500; connect(); } });

  /* --- acting ----------------------------------------------------------------------------------------------- */
  const busy = new Map();        // id -> what is under way for it
  const act = (row, action, notes) => {
    const id = row.dataset.id;
    if (notes && busy.has(id)) {  // nothing that was typed is thrown away
      busy.get(id).then(() => { if (rowOf(id)) act(rowOf(id), action, notes); });
      return;
    }
    if (busy.has(id) || leaving.has(id)) return;
    const values = { csrfmiddlewaretoken: document.querySelector("#act [name=csrfmiddlewaretoken]").value };
    values.columns = board().dataset.columns;
    if (notes) values.notes = notes;
    if (row.dataset.under) values.under = row.dataset.under;
    const had = row.contains(document.activeElement);
    const sent = htmx.ajax("POST", `/alerts/${id}/${action}/`, { target: row, swap: "outerHTML", values });
    busy.set(id, sent.catch(() => {}).then(() => {  // what went wrong is said by htmx's events below
      busy.delete(id);
      const now = rowOf(id);
      if (!now) return;
      restore(now);
      if (had && !now.contains(document.activeElement)) now.focus({ preventScroll: true });
    }));
  };
  const complain = (sentence) => {
    const line = document.createElement("p");
    line.className = "notice error";
    line.role = "alert";
    line.textContent = sentence;
    $("notices").replaceChildren(line);
  };
  document.addEventListener("htmx:beforeRequest", () => $("notices").replaceChildren());
  document.addEventListener("htmx:sendError", () => complain("The server cannot be reached. Nothing was changed; try again."));
  document.addEventListener("htmx:responseError", (event) =>
    complain(event.detail.xhr.status === 404 ? "This alert no longer exists."
      : "The server could not do this. Reload the page and try again."));
  document.addEventListener("htmx:afterSwap", title);
  /* htmx settles by writing the attributes of the answer once more, after the row was put right. */
  document.addEventListener("htmx:afterSettle", () => { if (picked && rowOf(picked)) restore(rowOf(picked)); });

  const note = $("note");
  const askForNote = (row) => {
    note.dataset.for = row.dataset.id;
    note.querySelector("[data-about]").textContent = row.querySelector(".what").textContent;
    $("note-text").value = "";
    note.showModal();
  };
  note?.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    const row = rowOf(note.dataset.for), text = $("note-text").value.trim();
    if (!text) return;
    note.close();
    if (row) act(row, "note", text);
  });

  /* --- mouse and keyboard ----------------------------------------------------------------------------------- */
  const pick = (row, scroll = true) => {
    for (const old of rows().querySelectorAll(".at")) { old.classList.remove("at"); old.removeAttribute("aria-current"); }
    picked = row?.dataset.id ?? null;
    const address = `${location.pathname}${location.search}${picked ? `#alert-${picked}` : ""}`;
    if (scroll && address !== `${location.pathname}${location.search}${location.hash}`) {
      history.replaceState(history.state, "", address);  // what is copied leads to this alert
    }
    if (!row) return;
    row.classList.add("at");
    row.setAttribute("aria-current", "true");
    row.focus({ preventScroll: true });
    if (scroll) row.scrollIntoView({ block: "nearest" });
  };
  /* Back from the alert that was opened here: at its row again, with the scroll position left to the browser. */
  const pickOpened = () => {
    const id = sessionStorage.getItem(OPENED);
    sessionStorage.removeItem(OPENED);
    const back = performance.getEntriesByType("navigation")[0]?.type === "back_forward";
    if (id && rowOf(id) && (back || document.referrer.endsWith(`/alerts/${id}/`))) pick(rowOf(id), false);
    else pickNamed();
  };
  /* The alert an address names; one that this page does not show is one click away. */
  const pickNamed = () => {
    const id = /^#alert-([0-9a-f-]{36})$/.exec(location.hash)?.[1];
    if (!id) return;
    if (rowOf(id)) { pick(rowOf(id)); return; }
    const line = document.createElement("p"), link = document.createElement("a");
    line.className = "notice";
    link.className = "link";
    link.href = `/alerts/${id}/`;
    link.textContent = "Open it";
    line.append("The alert this address names is not on this page. ", link, ".");
    $("notices").replaceChildren(line);
  };
  const step = (by) => {
    const list = [...rows().children].filter((row) => row.dataset.id || row.matches(".group"));
    if (!list.length) return;
    const at = list.findIndex((row) => row.classList.contains("at"));
    pick(list[at < 0 ? (by > 0 ? 0 : list.length - 1) : Math.min(list.length - 1, Math.max(0, at + by))]);
  };
  document.addEventListener("click", (event) => {
    const target = event.target;
    if (target.closest("#arrivals")) { showArrivals(); return; }
    const row = target.closest("#rows > tr");
    if (!row) return;
    const button = target.closest("[data-act]");
    if (target.closest("a.explains")) {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      turnOver(row);
    } else if (button) { event.preventDefault(); act(row, button.dataset.act); }
    else if (target.closest("a.what") && row.dataset.id) sessionStorage.setItem(OPENED, row.dataset.id);
    else if (row.dataset.id && !target.closest("a, label, input") && getSelection().isCollapsed) pick(row);
  });
  const keys = {
    j: () => step(1),
    k: () => step(-1),
    ArrowDown: () => step(1),
    ArrowUp: () => step(-1),
    o: (row) => row?.querySelector("a.what").click(),
    a: (row) => { if (row?.querySelector('[data-act="acknowledge"]')) act(row, "acknowledge"); },
    r: (row) => { if (row?.querySelector('[data-act="resolve"]')) act(row, "resolve"); },
    n: (row) => { if (row?.dataset.id && note) askForNote(row); },
    e: (row) => { if (row) turnOver(row); },
    "/": () => { $("search").focus(); $("search").select(); },
    "?": () => $("keys").showModal(),
    ".": () => { if (!arrivals.hidden) showArrivals(); },
    Escape: () => pick(null),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const target = event.target, filters = document.querySelector("details.filters[open]");
    if (event.key === "Escape" && filters && (filters.contains(target) || !isTyping(target))) {
      event.preventDefault();
      filters.open = false;
      filters.querySelector("summary").focus();
      return;
    }
    if (isTyping(target)) {
      if (event.key === "Escape") target.blur();
      return;
    }
    const row = picked ? rowOf(picked) : target.closest?.("#rows > tr");
    if (event.key === " " && target.matches("a.explains")) {
      event.preventDefault();
      turnOver(target.closest("tr"));
      return;
    }
    if (event.key === "Enter") {
      if (row && !target.closest("a, button, summary")) { event.preventDefault(); keys.o(row); }
      return;
    }
    const wanted = Object.hasOwn(keys, event.key) ? keys[event.key] : null;
    if (!wanted || ((event.key === "ArrowDown" || event.key === "ArrowUp") && !rows().querySelector(".at"))) return;
    event.preventDefault();
    wanted(row);
  });

  /* What hand.js and selection.js need of this file; `keys` may be added to, `holds` says that rows are to stay. */
  window.Board = Object.assign(window.Board ?? {}, {
    keys, step, reload, complain,
    seen: () => seen,
    isLive: () => live.dataset.state === "live",
    pickedRow: () => (picked ? rowOf(picked) : null),
    welcome: (ids) => { for (const id of ids) if (!rowOf(id)) welcome.add(id); },
  });

  /* Fields left empty do not belong in the address. */
  document.addEventListener("formdata", (event) => {
    for (const field of event.target.method === "get" ? event.target.elements : []) {
      if (field.name && field.type !== "hidden" && !field.value.trim()) event.formData.delete(field.name);
    }
  });

  /* What groups.js needs of this file. */
  Object.assign(window.Board, { replace, restore, rowOf, readerIsElsewhere, settle, tellShown, pick });

  document.addEventListener("DOMContentLoaded", () => {
    Times.setServerTime(Number(board().dataset.now));
    for (const row of rows().children) dress(row);
    title();
    pickOpened();
    if (!("error" in board().dataset)) connect();
  });
})();

/* --- one alert ------------------------------------------------------------------------------------------ */
(() => {
  const back = document.querySelector("a.back");
  if (!document.getElementById("alert") || !back) return;
  /* The board the reader came from, with its filters and where it was scrolled to. */
  const from = document.referrer && new URL(document.referrer);
  if (from && from.origin === location.origin && from.pathname === new URL(back.href).pathname) {
    back.href = from.href;
    back.addEventListener("click", (event) => {
      if (history.length < 2 || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      history.back();
    });
  }
  const keys = {
    a: () => {
      const button = document.querySelector("[data-acknowledge]");
      if (button?.dataset.acknowledge === "again") button.focus(); else button?.click();
    },
    R: () => document.querySelector("[data-reopen]")?.click(),
    m: () => document.querySelector("[data-assign]")?.focus(),
    n: () => document.getElementById("notes")?.focus(),
    "?": () => document.getElementById("keys").showModal(),
    Escape: () => back.click(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (document.querySelector("dialog[open]")) return;
    if (isTyping(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (!Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    keys[event.key]();
  });
})();
