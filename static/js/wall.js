/* The wall: shows what its socket sends, fits it into the screen, and notices by itself when it is no longer true.
   Nobody stands beside it: it reconnects for ever, loads itself again when the server has a new version, and never
   leaves for a page it could not come back from. */
"use strict";
(() => {
  const STALE_MS = 12000;        // the server says something every 2 s
  const OLD_MS = 60000;          // numbers are renewed every 15 s
  const LOST_MS = 5000;          // a restart of the server is not worth a sign
  const REFUSED_RETRY_MS = 20000, MAX_RETRY_MS = 10000;
  const SHIFT_MS = 240000, SHIFTS = 9;
  const FRESH_MS = 6000;
  const RELOAD_MS = 24 * 3600000;
  const $ = (id) => document.getElementById(id);
  const body = document.body, numbers = $("numbers"), sign = $("sign"), still = matchMedia("(prefers-reduced-motion: reduce)");
  const zone = body.dataset.zoneWanted || Intl.DateTimeFormat().resolvedOptions().timeZone;
  const monotonic = () => performance.now();

  /* --- clock: the server's time in this screen's zone ---------------------------------------------------- */
  const format = (options) => new Intl.DateTimeFormat("en-GB", { timeZone: zone, ...options });
  const hands = format({ hour: "2-digit", minute: "2-digit" });
  const day = format({ weekday: "short", day: "numeric", month: "short" });
  const say = (element, text) => { if (element.textContent !== text) element.textContent = text; };
  const tellTime = () => {
    const now = Times.now();
    say($("clock"), hands.format(now));
    say($("day"), `${day.format(now)} · ${zone.replaceAll("_", " ")}`);
  };

  /* --- what fits -------------------------------------------------------------------------------------------- */
  const plural = (number, word) => `${number.toLocaleString("en")} more ${word === "category" && number !== 1
    ? "categories" : word}${number === 1 || word === "category" ? "" : "s"}`;
  const fit = () => {
    for (const box of document.querySelectorAll("[data-fit]")) {
      const items = [...box.querySelectorAll("[data-item]")], more = box.parentElement.querySelector(".more");
      for (const item of items) item.hidden = false;
      const beyond = "number" in box.dataset ? Number(box.dataset.number) - items.length : Number(box.dataset.hidden);
      more.hidden = beyond <= 0;
      say(more, "\u00a0");
      let shown = items.length;
      if (box.scrollHeight > box.clientHeight + 1) {
        more.hidden = false;
        const end = box.getBoundingClientRect().bottom + 1;
        shown = Math.max(1, items.filter((item) => item.getBoundingClientRect().bottom <= end).length);
      }
      items.forEach((item, i) => { item.hidden = i >= shown; });
      const left = beyond + items.length - shown;
      more.hidden = left <= 0;
      if (left > 0) say(more, plural(left, more.dataset.more));
    }
  };
  const hours = format({ hour: "2-digit", hourCycle: "h23" }), halves = format({ hour: "2-digit", minute: "2-digit" });
  const dress = () => {
    for (const time of numbers.querySelectorAll("time[data-hour]")) {
      const start = Date.parse(time.dateTime), text = halves.format(start);
      time.textContent = text.endsWith(":00") ? hours.format(start) : text;
    }
    Times.tick(numbers);
    fit();
  };

  /* --- a new critical: the one thing that moves ----------------------------------------------------------- */
  let newest = 0, fresh = null;
  const markNewest = (first) => {
    const line = numbers.querySelector("[data-newest]");
    if (!line) return;
    const since = Number(line.dataset.since);
    if (since > newest && !first) fresh = { id: line.dataset.newest, from: monotonic() };
    newest = Math.max(newest, since);
    const age = fresh && fresh.id === line.dataset.newest ? monotonic() - fresh.from : FRESH_MS;
    if (age >= FRESH_MS) return;
    line.style.animationDelay = `-${Math.round(age)}ms`;
    line.classList.add("fresh");
    setTimeout(() => line.classList.remove("fresh"), FRESH_MS - age);
  };

  /* --- is it true? ---------------------------------------------------------------------------------------------- */
  const state = {
    refused: body.dataset.state === "refused",
    database: body.dataset.state === "away" ? "away" : "ok",
    connected: false,
    lost: monotonic(),           // since when there is no connection
    heard: monotonic(),          // when the server said anything
    moved: monotonic(),          // when its clock had gone on
    clock: 0,
    asOf: Number(body.dataset.asOf),
  };
  let good = Number(body.dataset.now);  // when everything was well, in the server's time
  const judge = () => {
    const now = monotonic();
    if (state.refused) {
      return /^\/wall\/./.test(location.pathname)
        ? ["This wall link does not work", "It was switched off, has expired, or is incomplete. Ask an administrator for a new one."]
        : ["Signed out", "Sign in again on this screen, or open a wall link here, which needs no signing in."];
    }
    if (!state.connected && now - state.lost > LOST_MS) return ["No connection", "The server cannot be reached."];
    if (state.database === "away") return ["The database does not answer", "Numbers are renewed by themselves when it is back."];
    if (now - state.heard > STALE_MS) return ["No word from the server", "The connection stands, and nothing comes."];
    if (now - state.moved > STALE_MS) return ["The server’s clock stands still", "What is shown may be old."];
    if (Times.now() - state.asOf > OLD_MS) return ["The numbers are old", "The server could not renew them; its log says why."];
    return null;
  };
  const show = () => {
    const wrong = judge();
    body.dataset.state = wrong ? (state.refused ? "refused" : "stale") : "live";
    if (wrong) {
      const since = state.refused ? "" : ` Not live since ${hands.format(good)}.`;
      say($("sign-what"), wrong[0]);
      say($("sign-why"), wrong[1] + since);
    } else if (state.connected) good = Times.now();
    sign.hidden = !wrong;
  };

  /* --- the socket ------------------------------------------------------------------------------------------------ */
  let socket = null, backoff = 500, current = null;
  const connect = () => {
    const mine = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws${location.pathname}${location.search}`);
    socket = mine;
    state.heard = monotonic();
    mine.onmessage = (event) => { if (socket === mine) hear(JSON.parse(event.data)); };
    mine.onclose = (event) => {
      if (socket !== mine) return;
      socket = null;
      if (state.connected) state.lost = monotonic();
      state.connected = false;
      if (event.code === 4003) {
        state.refused = true;
        current = null;
        numbers.replaceChildren();
      }
      show();
      setTimeout(connect, state.refused ? REFUSED_RETRY_MS : backoff * (0.5 + Math.random()));
      backoff = Math.min(backoff * 2, MAX_RETRY_MS);
    };
  };
  const hear = (message) => {
    const now = monotonic();
    state.connected = true;
    state.refused = false;
    state.heard = now;
    backoff = 500;
    if (message.now !== state.clock) { state.clock = message.now; state.moved = now; }
    Times.setServerTime(message.now);
    state.database = message.type === "system_status" ? message.database : "ok";
    if (message.type === "wall") {
      state.asOf = message.as_of;
      if (message.html !== current) {
        const first = current === null && !numbers.children.length;
        numbers.innerHTML = message.html;
        current = message.html;
        markNewest(first);
        dress();
      }
      socket.send(JSON.stringify({ type: "ack" }));
      if (message.version !== body.dataset.version) reload();
    }
    show();
  };
  /* Only when the page can be had: an error page of the browser would stay for ever. */
  let reloading = false;
  const reload = async () => {
    if (reloading) return;
    reloading = true;
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      if (answer.ok && !answer.redirected) { location.reload(); return; }
    } catch { /* later */ }
    setTimeout(() => { reloading = false; }, MAX_RETRY_MS);
  };

  /* --- the screen -------------------------------------------------------------------------------------------------- */
  let shift = 0;
  setInterval(() => {
    shift = still.matches ? 0 : (shift + 1) % SHIFTS;
    $("stage").dataset.shift = shift;
  }, SHIFT_MS);
  let idle = null;
  addEventListener("pointermove", () => {
    body.classList.remove("idle");
    clearTimeout(idle);
    idle = setTimeout(() => body.classList.add("idle"), 4000);
  });
  const stayAwake = () => { if (!document.hidden) navigator.wakeLock?.request("screen").catch(() => {}); };
  document.addEventListener("visibilitychange", stayAwake);
  addEventListener("resize", fit);
  document.fonts?.ready.then(fit);
  setInterval(() => {
    tellTime();
    show();
    if (socket && monotonic() - state.heard > STALE_MS * 2) {  // a connection that died without a word
      const dead = socket;
      socket = null;
      state.connected = false;
      dead.close();
      connect();
    }
    if (monotonic() > RELOAD_MS && state.connected) reload();
  }, 1000);
  addEventListener("online", () => { if (!socket) connect(); });

  document.addEventListener("DOMContentLoaded", () => {
    Times.setServerTime(Number(body.dataset.now));
    tellTime();
    markNewest(true);
    dress();
    stayAwake();
    connect();
  });
})();
