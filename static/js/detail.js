/* One alert: copied with a key, compared on demand, and anew when it changes, without losing what is being typed. */
"use strict";
(() => {
  const id = document.body.dataset.alert;
  if (!id) return;
  const $ = (name) => document.getElementById(name), article = () => $("alert");
  const read = async (url) => {
    const answer = await fetch(url, { headers: { Accept: "text/html", "HX-Request": "true" } });
    if (answer.redirected) location.reload();
    return answer;
  };
  const parsed = async (answer) => new DOMParser().parseFromString(await answer.text(), "text/html");
  const times = () => { Times.tick(); Times.localise(); };

  /* --- copying ----------------------------------------------------------------------------------------------- */
  const say = (text) => { if ($("copied")) $("copied").textContent = text; };
  /* Without the clipboard's own way (plain http) a field is copied from. */
  const copy = async (text) => {
    say("");
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const field = document.createElement("textarea"), had = document.activeElement;
      field.value = text;
      field.className = "visually-hidden";
      document.body.append(field);
      field.select();
      const done = document.execCommand("copy");
      field.remove();
      had?.focus?.({ preventScroll: true });
      if (!done) { say("The browser does not allow copying."); return; }
    }
    say("Copied.");
  };
  const copyText = () => copy($("as-text").textContent);
  const copyJson = async () => {
    let text;
    try {
      const answer = await fetch(`/api/v1/alerts/${id}/`, { headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(String(answer.status));
      text = JSON.stringify(await answer.json(), null, 2);
    } catch {
      say("The server did not answer. Try again.");
      return;
    }
    await copy(text);
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || document.querySelector("dialog[open]")) return;
    if (event.target.closest?.("input, textarea, select, [contenteditable]")) return;
    if (event.key === "c") { event.preventDefault(); copyText(); }
    else if (event.key === "C") { event.preventDefault(); copyJson(); }
  });

  /* --- parts that are read when they are wanted --------------------------------------------------------------- */
  const compare = async (place) => {
    if (place.dataset.loaded) return;
    place.dataset.loaded = "yes";
    try {
      const answer = await read(place.dataset.src);
      if (!answer.ok) throw new Error(String(answer.status));
      place.replaceChildren(...(await parsed(answer)).body.childNodes);
      times();
    } catch {
      delete place.dataset.loaded;
    }
  };
  document.addEventListener("toggle", (event) => {
    if (event.target.id === "changes" && event.target.open) compare($("difference"));
  }, true);
  /* Another order or page of the timeline, without leaving what is being typed. */
  const turn = async (link) => {
    const name = link.textContent;
    try {
      const answer = await read(link.href);
      const fresh = answer.ok && (await parsed(answer)).getElementById("timeline");
      if (!fresh) throw new Error(String(answer.status));
      $("timeline").replaceWith(document.adoptNode(fresh));
    } catch {
      location.href = link.href;
      return;
    }
    history.replaceState(history.state, "", link.href);
    times();
    const links = [...$("timeline").querySelectorAll(".tools a, .further a")];
    (links.find((one) => one.textContent === name) || links[0]).focus({ preventScroll: true });
    $("timeline").scrollIntoView({ block: "nearest" });
  };
  document.addEventListener("click", (event) => {
    const target = event.target;
    if (target.closest("[data-copy]")) copyText();
    else if (target.closest("[data-copy-from]")) copyJson();
    else if (target.closest("#changed button")) renew(true);
    const link = target.closest("#timeline :is(.tools, .further) a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    turn(link);
  });

  /* --- the page anew ------------------------------------------------------------------------------------------ */
  const AGAIN_MS = 1000, MARK_MS = 6000;
  const fields = () => [...article().querySelectorAll("textarea, select, input:not([type=hidden])")];
  const isSet = (field) => {
    if (field.matches("select")) {
      const options = [...field.options], first = Math.max(0, options.findIndex((option) => option.defaultSelected));
      return field.selectedIndex !== first;
    }
    return field.matches("[type=checkbox], [type=radio]") ? field.checked !== field.defaultChecked
      : field.value !== field.defaultValue;
  };
  /* A reader who types, chooses or marks text decides himself when the page changes under him. */
  const isBusy = () => {
    const marked = getSelection();
    return fields().some(isSet) || document.activeElement?.matches("#alert select") || article().querySelector("dialog[open]")
      || (!marked.isCollapsed && article().contains(marked.anchorNode));
  };
  const keyOf = (element) => element.id ? `#${CSS.escape(element.id)}` : element.tagName.toLowerCase() +
    ["name", "value", "formaction", "href", "data-copy", "data-copy-from"].map((name) =>
      (element.hasAttribute(name) ? `[${name}="${CSS.escape(element.getAttribute(name))}"]` : "")).join("");
  const stepsOf = (root) => new Map([...root.querySelectorAll("#timeline .timeline > li")].map((step) =>
    [step.querySelector("time").dateTime + step.querySelector("div > span").textContent, step]));
  /* What the page says, with moments instead of the ages that tick and the times that depend on the reader. */
  const saidBy = (root) => {
    const twin = root.cloneNode(true);
    for (const part of twin.querySelectorAll("#difference, #copied, .notice, [data-zone]")) part.remove();
    for (const time of twin.querySelectorAll("time")) time.textContent = time.dateTime;
    return twin.textContent.replace(/\s+/g, " ");
  };
  const exchange = (fresh) => {
    const old = article(), known = stepsOf(old), active = document.activeElement;
    const had = old.contains(active) ? keyOf(active) : "", caret = had && active.matches("textarea") ? active.selectionStart : 0;
    const typed = fields().filter(isSet).map((field) => [keyOf(field), field]);
    const open = [...old.querySelectorAll("details[open]")].map((details) => details.id);
    const notices = [...old.querySelectorAll(".head > .notice")];
    old.replaceWith(document.adoptNode(fresh));
    htmx.process(article());
    article().querySelector(".head").prepend(...notices);
    for (const [key, field] of typed) {
      const now = article().querySelector(key);
      if (!now) continue;
      if (field.matches("[type=checkbox], [type=radio]")) now.checked = field.checked; else now.value = field.value;
    }
    for (const name of open) $(name)?.setAttribute("open", "");
    if (had) {
      const now = article().querySelector(had);
      now?.focus({ preventScroll: true });
      if (caret) now?.setSelectionRange?.(caret, caret);
    }
    const steps = [...stepsOf(article())].filter(([key]) => !known.has(key)).map(([, step]) => step);
    for (const step of steps) {
      step.classList.add("fresh");
      setTimeout(() => step.classList.remove("fresh"), MARK_MS);
    }
    $("changed")?.remove();
    document.title = article().dataset.title;
    times();
    const clock = new Date().toLocaleTimeString("en-GB");
    const done = steps.map((step) => step.querySelector("div > span").textContent).slice(0, 2).join(", ");
    $("news").textContent = done ? `${clock} ${done}` : `Updated ${clock}`;
  };
  /* `wanted`: the reader asked for it. */
  let reading = false, again = null;
  const renew = async (wanted) => {
    if (reading) { again = wanted || Boolean(again); return; }
    reading = true;
    again = null;
    try {
      const answer = await read(location.href);
      if (answer.status === 404) { ask("This alert no longer exists.", ""); return; }
      const fresh = answer.ok && (await parsed(answer)).getElementById("alert");
      if (!fresh) return;
      if (saidBy(fresh) === saidBy(article())) $("changed")?.remove();
      else if (!wanted && isBusy()) ask("This alert has changed.", "Show it as it is now");
      else exchange(fresh);
    } catch { /* the socket says that it is not live */
    } finally {
      setTimeout(() => { reading = false; if (again !== null) renew(again); }, AGAIN_MS);
    }
  };
  const ask = (sentence, offer) => {
    if ($("changed")) return;
    const line = document.createElement("p");
    line.id = "changed";
    line.role = "status";
    line.append(sentence);
    if (offer) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "btn";
      button.textContent = offer;
      line.append(button);
    }
    article().before(line);
  };
  /* What an action sends back is the alert as it is now. */
  document.addEventListener("htmx:afterSwap", () => $("changed")?.remove());

  /* --- live --------------------------------------------------------------------------------------------------- */
  const DEAD_MS = 30000;         // the server says something every 20 s
  const live = $("live");
  let socket = null, seq = Number(document.body.dataset.seq), backoff = 500, last = Date.now(), lost = null, over = false;
  const sign = (state, text) => {
    live.hidden = false;
    live.dataset.state = state;
    if (live.textContent !== text) live.textContent = text;
  };
  const isLive = () => { backoff = 500; lost = null; sign("live", "Live"); };
  const notLive = (since) => {
    lost ??= since;
    sign("away", `Not live since ${new Date(lost).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })}`);
  };
  const send = (message) => { if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message)); };
  const subscribe = () => send({
    type: "subscribe", format: "json", filter: `?id=${id}`, since: seq, shown: [id],
    events: ["alert_created", "alert_updated", "alert_resolved", "system_status"],
  });
  const hear = (message) => {
    if (message.type === "alerts") {
      seq = Math.max(seq ?? 0, message.seq);
      send({ type: "ack", seq: message.seq });
      if (message.changes.some((change) => change.id === id)) renew(false);
    } else if (message.type === "subscribed") isLive();
    else if (message.type === "system_status") {
      if (message.database === "away") notLive(Date.now()); else isLive();
    } else if (message.type === "reload") {  // too much happened meanwhile: what comes from here on, and the page anew
      seq = undefined;
      subscribe();
      renew(false);
    }
  };
  const connect = () => {
    const mine = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/alerts/`);
    socket = mine;
    last = Date.now();
    mine.onopen = () => { if (socket === mine) { sign("catching-up", "Catching up"); subscribe(); } };
    mine.onmessage = (event) => { if (socket === mine) { last = Date.now(); hear(JSON.parse(event.data)); } };
    mine.onclose = (event) => {
      if (socket !== mine) return;
      socket = null;
      if (event.code === 4003) { over = true; sign("away", "Signed out. Reload to sign in"); return; }
      notLive(Date.now());
      setTimeout(() => { if (!socket) connect(); }, backoff * (0.5 + Math.random()));
      backoff = Math.min(backoff * 2, 30000);
    };
  };
  setInterval(() => {
    if (!socket || Date.now() - last <= DEAD_MS) return;
    const dead = socket;
    socket = null;
    dead.close();
    notLive(last);
    connect();
  }, 1000);
  addEventListener("online", () => { if (!socket && !over) { backoff = 500; connect(); } });
  document.addEventListener("DOMContentLoaded", connect);
})();
