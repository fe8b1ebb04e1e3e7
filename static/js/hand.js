/* What the operator's hand does with a row or with the selection: the bar, the sheets, the keys, the undo. */
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const bar = document.getElementById("hand"), undo = document.getElementById("undo");
  if (!bar || !window.Board) return;
  const SURE_FROM = 51;          // more than a page: ask with the number
  const $ = (id) => document.getElementById(id);
  const csrf = () => bar.querySelector("[name=csrfmiddlewaretoken]").value;
  const many = (number) => `${number.toLocaleString("en")} alert${number === 1 ? "" : "s"}`;

  /* --- what is acted on ------------------------------------------------------------------------------------ */
  let target = null;             // {ids} or {all}, while a sheet is open
  const selected = () => {
    if (Selection.all()) return { all: Selection.all(), number: Selection.all().number, about: many(Selection.all().number) };
    const ids = Selection.ids();
    return { ids, number: ids.length, about: ids.length === 1 ? Selection.title() : many(ids.length) };
  };
  const only = (row) => ({ ids: [row.dataset.id], number: 1, about: row.querySelector(".what").textContent });
  const aim = (row) => (Selection.size() ? selected() : row?.dataset.id ? only(row) : null);
  const says = (row, name) => Boolean(row?.querySelector(`[data-act="${name}"]`));

  /* --- the bar --------------------------------------------------------------------------------------------- */
  const show = () => {
    const number = Selection.size(), gone = Selection.gone(), offered = Selection.offered();
    bar.toggleAttribute("data-some", number > 0);
    document.body.toggleAttribute("data-hand", number > 0);
    if (!number) return;
    const text = Selection.all() ? `All ${number.toLocaleString("en")} that match selected` : `${number.toLocaleString("en")} selected`;
    const place = bar.querySelector("[data-number]");
    if (place.textContent !== text) place.textContent = text;
    bar.querySelector("[data-gone]").textContent = gone ? `(${gone} no longer on this page)` : "";
    const rows = document.querySelectorAll("#rows > tr[data-id]").length;
    bar.querySelector('[data-hand="page"]').hidden = Boolean(Selection.all()) || number - gone >= rows;
    const offer = bar.querySelector('[data-hand="all"]');
    offer.hidden = !offered || offered.number <= number;
    if (offered) offer.textContent = `Select ${offered.more ? `the newest ${offered.number.toLocaleString("en")}` : `all ${offered.number.toLocaleString("en")}`} that match`;
    const picked = [...document.querySelectorAll("#rows > tr[data-picked]")];
    const any = (test) => Boolean(Selection.all()) || gone > 0 || picked.some(test);
    for (const button of bar.querySelectorAll("[data-for]")) {
      button.hidden = !any((row) => (button.dataset.for === "ended" ? row.classList.contains("ended") : row.classList.contains("acknowledged")));
    }
  };
  document.addEventListener("selection:changed", show);
  document.addEventListener("board:settled", () => { if (Selection.size()) show(); });
  Board.holds = () => Selection.size() > 0;

  /* --- doing it -------------------------------------------------------------------------------------------- */
  let busy = false;
  const post = async (url, values) => {
    const body = new URLSearchParams();
    for (const [name, value] of Object.entries(values)) {
      for (const one of Array.isArray(value) ? value : [value]) body.append(name, one);
    }
    const answer = await fetch(url, {
      method: "POST", body, headers: { Accept: "application/json", "X-CSRFToken": csrf() },
    });
    if (answer.redirected) { location.reload(); return null; }
    const said = answer.headers.get("Content-Type")?.includes("json") ? await answer.json() : {};
    if (!answer.ok) throw new Error(said.sentence || "The server could not do this. Reload the page and try again.");
    return said;
  };
  const work = async (url, values) => {
    if (busy) return null;
    busy = true;
    bar.toggleAttribute("data-busy", true);
    $("notices").replaceChildren();
    try {
      const said = await post(url, values);
      if (said && !Board.isLive()) await Board.reload();
      return said;
    } catch (error) {
      Board.complain(error instanceof TypeError ? "The server cannot be reached. It is not known whether anything was changed; look before you try again." : error.message);
      return null;
    } finally {
      busy = false;
      bar.toggleAttribute("data-busy", false);
    }
  };
  const perform = async (action, more = {}, on = target) => {
    target = null;
    if (!on) return;
    if (on.number >= SURE_FROM && !(await sure(action, on))) return;
    const values = { action, time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone, ...more };
    if (on.all) Object.assign(values, { all: 1, filter: on.all.filter, as_of: on.all.asOf });
    else values.id = on.ids;
    const said = await work("/alerts/act/", values);
    if (!said) return;
    if (Selection.size()) Selection.clear();
    tell(said, on.ids ?? []);
  };
  const VERBS = { acknowledge: "Acknowledge", unacknowledge: "Take back the acknowledgement of", resolve: "Resolve", reopen: "Reopen", assign: "Assign", note: "Add the note to", silence: "Silence" };
  const sure = (action, on) => new Promise((resolve) => {
    const sheet = $("sheet-sure"), yes = sheet.querySelector('[value="yes"]');
    sheet.querySelector("[data-question]").textContent = `${VERBS[action]} ${many(on.number)}?`;
    yes.textContent = `${VERBS[action].split(" ")[0]} ${on.number.toLocaleString("en")}`;
    sheet.returnValue = "";
    sheet.addEventListener("close", () => resolve(sheet.returnValue === "yes"), { once: true });
    sheet.showModal();
  });

  /* --- undo: the last one is shown, z goes on to those before ------------------------------------------------ */
  const done = [];               // {token, until, sentence, ids}, the newest last
  const tell = (said, ids) => {
    if (said.undo) done.push({ token: said.undo, until: Date.now() + said.seconds * 1000, sentence: said.sentence, ids });
    $("notices").replaceChildren();
    undo.querySelector("[data-sentence]").textContent = said.sentence;
    undo.dataset.until = String(Date.now() + (said.seconds ?? 10) * 1000);
    undo.hidden = false;
    tick();
  };
  const tick = () => {
    while (done.length && done[0].until <= Date.now()) done.shift();
    const last = done.at(-1), button = undo.querySelector('[data-hand="undo"]');
    button.hidden = !last;
    if (last) button.querySelector("[data-seconds]").textContent = `(${Math.ceil((last.until - Date.now()) / 1000)} s)`;
    if (!last && Number(undo.dataset.until) <= Date.now() && !undo.contains(document.activeElement)) undo.hidden = true;
  };
  setInterval(tick, 500);
  const takeBack = async () => {
    tick();
    const last = done.pop();
    if (!last) return;
    Board.welcome(last.ids);
    const said = await work(`/alerts/undo/${last.token}/`, {});
    if (!said) { tick(); return; }
    const before = done.at(-1);
    tell({ sentence: before ? `${said.sentence} Before that: ${before.sentence}` : said.sentence, undo: null, seconds: said.seconds }, []);
  };
  document.addEventListener("board:done", (event) => {
    tell(event.detail, event.detail.ids);
  });

  /* --- sheets ---------------------------------------------------------------------------------------------- */
  const open = async (name, on) => {
    if (!on) return;
    target = on;
    const sheet = $(`sheet-${name}`), form = sheet.querySelector("form");
    form?.reset();
    sheet.querySelector("[data-about]").textContent = on.about;
    const wrong = sheet.querySelector("[data-error]");
    if (wrong) wrong.textContent = "";
    if (name === "assign") fillPeople();
    sheet.showModal();
    if (name === "until") {
      const time = $("until-time"), soon = new Date(Date.now() + 2 * 3600e3 - new Date().getTimezoneOffset() * 60e3);
      time.value = soon.toISOString().slice(0, 16);
    }
  };
  const fillPeople = async () => {
    const list = document.querySelector("[data-people]");
    if (list.dataset.people) return;
    list.dataset.people = "asked";
    try {
      const answer = await fetch("/alerts/people/", { headers: { Accept: "application/json" } });
      for (const name of (await answer.json()).people) list.add(new Option(name, name));
    } catch { list.dataset.people = ""; /* me and nobody are there */ }
  };
  for (const form of document.querySelectorAll("dialog.choices form[data-action]")) {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const by = event.submitter, values = {}, notes = form.elements.notes.value.trim();
      if (by?.name === "custom") {
        const moment = new Date($("until-time").value);
        if (Number.isNaN(moment.getTime()) || moment <= new Date()) {
          form.querySelector("[data-error]").textContent = "Give a day and a time that lie ahead.";
          $("until-time").focus();
          return;
        }
        values.until = moment.toISOString();
      } else if (by?.name === "somebody") values.assignee = form.querySelector("[data-people]").value;
      else if (by?.value) values[by.name] = by.value;
      else if (by?.name === "assignee") values.assignee = "";
      if (notes) values.notes = notes;
      const on = target;
      form.closest("dialog").close();
      perform(form.dataset.action, values, on);
    });
    /* Enter in a field is the first choice only where that is asked for. */
    form.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.target.type === "submit" || event.target.tagName === "BUTTON") return;
      event.preventDefault();
      if (event.target.id === "until-time") form.querySelector('[name="custom"]').click();
      else if (event.target.matches("[data-people]")) form.querySelector('[name="somebody"]').click();
      else form.querySelector(".menu button").focus();
    });
  }
  const note = $("note");
  let noteOn = null;
  const askForNote = (on) => {
    if (!on) return;
    noteOn = on;
    note.querySelector("[data-about]").textContent = on.about;
    $("note-text").value = "";
    note.showModal();
  };
  note.querySelector("form").addEventListener("submit", (event) => {
    if (!noteOn) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const notes = $("note-text").value.trim();
    if (!notes) return;
    const on = noteOn;
    note.close();
    perform("note", { notes }, on);
  }, true);
  note.addEventListener("close", () => { noteOn = null; });

  const more = $("sheet-more");
  const openMore = (row) => {
    target = only(row);
    more.dataset.row = row.dataset.id;
    more.querySelector("[data-about]").textContent = target.about;
    const ended = row.classList.contains("ended");
    for (const button of more.querySelectorAll("[data-for]")) {
      button.hidden = { ended: !ended, open: ended, acknowledged: !row.querySelector("td.status .who") && row.dataset.status !== "acknowledged" }[button.dataset.for];
    }
    more.showModal();
  };
  more.addEventListener("click", (event) => {
    const what = event.target.closest("[data-more-do]")?.dataset.moreDo;
    if (!what) return;
    const on = target;
    more.close();
    if (what === "open") document.getElementById(`alert-${more.dataset.row}`)?.querySelector("a.what").click();
    else if (what === "note") askForNote(on);
    else if (what === "reopen" || what === "unacknowledge") perform(what, {}, on);
    else open(what, on);
  });

  /* --- mouse ----------------------------------------------------------------------------------------------- */
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-more]");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      openMore(link.closest("tr"));
      return;
    }
    const what = event.target.closest("[data-hand]")?.dataset.hand;
    if (what === "page") Selection.page();
    else if (what === "all") Selection.takeAll();
    else if (what === "clear") Selection.clear();
    else if (what === "undo") takeBack();
    else if (what === "note") askForNote(selected());
    else if (what && $(`sheet-${what}`)) open(what, selected());
  });
  bar.addEventListener("submit", (event) => {
    event.preventDefault();
    if (event.submitter?.name === "action") perform(event.submitter.value, {}, selected());
  });
  /* A row clicked with shift is the end of a range; text is not marked then. */
  document.addEventListener("mousedown", (event) => {
    if (event.shiftKey && event.target.closest("#rows > tr[data-id]") && !event.target.closest("a, button, input")) event.preventDefault();
  });
  document.addEventListener("click", (event) => {
    const row = event.target.closest("#rows > tr[data-id]");
    if (!row || !event.shiftKey || event.target.closest("a, button, input, label")) return;
    Selection.range(row);
  });

  /* --- keys ------------------------------------------------------------------------------------------------ */
  const { a, r, n, Escape } = Board.keys;
  const extend = (by) => (row) => {
    if (row?.dataset.id) Selection.range(row);
    Board.step(by);
    const now = Board.pickedRow();
    if (now?.dataset.id) Selection.range(now);
  };
  Object.assign(Board.keys, {
    x: (row) => { if (row?.dataset.id) Selection.set(row); },
    X: (row) => { if (row?.dataset.id) Selection.range(row); },
    J: extend(1),
    K: extend(-1),
    "*": () => Selection.page(),
    a: (row) => (Selection.size() ? perform("acknowledge", {}, selected()) : a(row)),
    A: (row) => { if (Selection.size() || (row && !row.classList.contains("ended"))) open("until", aim(row)); },
    U: (row) => { if (aim(row)) perform("unacknowledge", {}, aim(row)); },
    r: (row) => (Selection.size() ? perform("resolve", {}, selected()) : r(row)),
    R: (row) => { if (Selection.size() || says(row, "reopen")) perform("reopen", {}, aim(row)); },
    m: (row) => { if (Selection.size() || (row && !row.classList.contains("ended"))) open("assign", aim(row)); },
    n: (row) => (Selection.size() ? askForNote(selected()) : n(row)),
    s: (row) => { if (Selection.size() || (row && !row.classList.contains("ended"))) open("silence", aim(row)); },
    z: () => takeBack(),
    Escape: () => (Selection.size() ? Selection.clear() : Escape()),
  });
  $("sheet-assign").addEventListener("keydown", (event) => {
    if (event.key !== "m" || event.repeat || isTyping(event.target)) return;
    event.stopPropagation();  // the board would take it for its own once the sheet is closed
    event.currentTarget.querySelector('[value="me"]').click();
  });
  for (const old of document.querySelectorAll("#rows .pick input")) old.checked = false;
  show();
});
