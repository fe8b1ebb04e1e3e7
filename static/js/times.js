/* Ages that tick, and exact times in the reader's own zone. */
"use strict";
const Times = (() => {
  const pad = (n) => String(n).padStart(2, "0");
  const exact = (iso) => {
    const d = new Date(iso);
    const day = `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())}`;
    return `${day} ${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}`;
  };
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  /* As alerts/columns.py writes it. */
  const age = (seconds) => {
    const s = Math.max(0, Math.floor(seconds));
    if (s < 60) return `${s} s`;
    const m = Math.floor(s / 60);
    if (m < 60) return `${m} min`;
    const h = Math.floor(m / 60);
    if (h < 10 && m % 60) return `${h} h ${pad(m % 60)}`;
    return h < 48 ? `${h} h` : `${Math.floor(h / 24)} d`;
  };
  /* 14:00, with its day when that is not today. */
  const clock = (iso) => {
    const d = new Date(iso);
    const time = `${pad(d.getHours())}:${pad(d.getMinutes())}`;
    if (d.toDateString() === new Date(now()).toDateString()) return time;
    return `${d.toLocaleDateString("en-GB", { weekday: "short", day: "numeric", month: "short" })} ${time}`;
  };
  /* The reader's clock may be wrong; what counts is the server's, as of the page. */
  let skew = 0;
  const now = () => Date.now() + skew;
  const setServerTime = (ms) => { skew = ms - Date.now(); };
  const tick = (root = document, youngest = false) => {
    for (const time of root.querySelectorAll("time[data-left]")) {
      const text = age((Date.parse(time.dateTime) - now()) / 1000);
      if (time.textContent !== text) time.textContent = text;
    }
    for (const time of root.querySelectorAll("time[data-clock]:not([data-local])")) {
      time.dataset.local = "1";
      time.title = `${exact(time.dateTime)} (${zone})`;
      time.textContent = clock(time.dateTime);
    }
    for (const time of root.querySelectorAll("time[data-age]")) {
      const seconds = (now() - Date.parse(time.dateTime)) / 1000;
      if (youngest && seconds > 61) continue;
      const text = age(seconds);
      if (time.textContent !== text) time.textContent = text;
      if (!time.dataset.local) {
        time.dataset.local = "1";
        time.title = `${exact(time.dateTime)} (${zone})`;
      }
    }
  };
  const localise = (root = document) => {
    for (const element of root.querySelectorAll("[data-zone]")) element.textContent = zone;
    for (const field of root.querySelectorAll("input[data-zone-value]")) field.value = zone;
    for (const time of root.querySelectorAll("time[data-exact]:not([data-local])")) {
      time.dataset.local = "1";
      time.title = time.textContent;
      time.textContent = exact(time.dateTime);
    }
  };
  document.addEventListener("DOMContentLoaded", () => {
    tick();
    localise();
    setInterval(() => tick(document, true), 1000);
    setInterval(() => tick(), 10000);
  });
  document.addEventListener("htmx:afterSwap", () => { tick(); localise(); });
  return { age, exact, now, setServerTime, tick, localise };
})();
