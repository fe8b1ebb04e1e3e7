/* A sound and a browser notification for new problems on the board on screen. Off until its reader switches it on; never
   for what was there before, at most one a second. The tones are made here, there is no file to load. */
"use strict";
(() => {
  const sign = document.getElementById("sound");
  if (!sign) return;
  const ORDER = ["critical", "major", "minor", "warning", "info"];
  /* Hertz of the tones one after the other: the worse, the more of them and the higher. */
  const TONES = {
    critical: [988, 740, 988, 740, 988], major: [784, 587, 784], minor: [659, 523], warning: [523], info: [392],
  };
  const TONE_SECONDS = 0.14, PAUSE_MS = 1000;
  const list = (text) => text.split(",").filter(Boolean);
  const state = {
    on: sign.dataset.on === "yes", sounds: list(sign.dataset.sounds),
    notifications: list(sign.dataset.notifications), volume: Number(sign.dataset.volume),
  };
  let audio = null;
  const sounding = () => state.on && state.sounds.length > 0;
  const show = () => {
    const blocked = sounding() && audio?.state !== "running";
    sign.dataset.on = sounding() ? "yes" : "no";
    sign.querySelector("span").textContent = !sounding() ? "Muted" : blocked ? "Sound waits for a click" : "Sound on";
    sign.title = blocked ? "The browser lets a page sound only after a click or a key in it." : "";
  };
  /* Browsers start audio only under a hand; whichever click or key comes first will do. */
  const wake = () => {
    if (!sounding()) return;
    audio ??= new AudioContext();
    if (audio.state === "running") return;
    audio.resume().then(show, () => {});
  };
  document.addEventListener("pointerdown", wake, true);
  document.addEventListener("keydown", wake, true);

  const play = (severity, volume = state.volume) => {
    if (!audio || audio.state !== "running") return;
    let at = audio.currentTime;
    for (const hertz of TONES[severity] || TONES.info) {
      const tone = audio.createOscillator(), gain = audio.createGain();
      tone.frequency.value = hertz;
      gain.gain.setValueAtTime(0, at);
      gain.gain.linearRampToValueAtTime(Math.max(0, Math.min(100, volume)) / 250, at + 0.01);
      gain.gain.linearRampToValueAtTime(0, at + TONE_SECONDS * 0.9);
      tone.connect(gain).connect(audio.destination);
      tone.start(at);
      tone.stop(at + TONE_SECONDS);
      at += TONE_SECONDS;
    }
  };
  const worst = (changes) => changes.reduce((a, b) => (ORDER.indexOf(b.severity) < ORDER.indexOf(a.severity) ? b : a));
  const text = (html, selector) => {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content.querySelector(selector)?.textContent.trim() || "";
  };
  const notify = (changes) => {
    if (!("Notification" in window) || Notification.permission !== "granted") return;
    const first = worst(changes);
    const more = changes.length > 1 ? `${changes.length} new problems. ` : "";
    const note = new Notification(`${more}${first.severity}: ${text(first.html, "a.what")}`,
      { body: text(first.html, "td.device .name"), tag: "opsconductor", silent: true });
    note.onclick = () => { window.focus(); note.close(); };
  };

  /* What comes within the second is told together at its end. */
  let waiting = [], timer = null, told = -Infinity;
  const tell = () => {
    timer = null;
    told = performance.now();
    const heard = waiting.filter((change) => state.sounds.includes(change.severity));
    const seen = waiting.filter((change) => state.notifications.includes(change.severity));
    waiting = [];
    if (heard.length) play(worst(heard).severity);
    if (seen.length) notify(seen);
  };
  document.addEventListener("board:alerts", (event) => {
    if (!state.on) return;
    const fresh = event.detail.changes.filter((change) => change.event === "alert_created" && change.html
      && !change.missed && (state.sounds.includes(change.severity) || state.notifications.includes(change.severity)));
    if (!fresh.length) return;
    waiting.push(...fresh);
    timer ??= setTimeout(tell, Math.max(0, told + PAUSE_MS - performance.now()));
  });

  /* --- the settings, and the key that mutes ---------------------------------------------------------------------- */
  const permission = () => {
    const line = document.getElementById("notification-state");
    if (!line) return;
    const asked = document.querySelector('#sheet [name="notifications"]:checked');
    if (!asked) line.textContent = "";
    else if (!("Notification" in window)) line.textContent = "This browser has no notifications.";
    else if (Notification.permission === "denied") {
      line.textContent = "This browser refuses notifications of this site. Allow them in its settings.";
    } else if (Notification.permission === "default") line.textContent = "The browser will ask whether it may.";
    else line.textContent = "This browser allows notifications.";
  };
  document.addEventListener("board:sheet", permission);
  document.getElementById("sheet")?.addEventListener("change", async (event) => {
    if (event.target.name === "notifications" && event.target.checked && "Notification" in window
      && Notification.permission === "default") await Notification.requestPermission();
    permission();
  });
  document.getElementById("sheet")?.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-try]");
    if (!button) return;
    audio ??= new AudioContext();
    await audio.resume();
    play(button.dataset.try, Number(document.getElementById("volume").value));
  });
  document.addEventListener("board:settings", (event) => {
    if (!event.detail.has("volume")) return;
    Object.assign(state, {
      on: event.detail.get("sound_on") === "on", sounds: event.detail.getAll("sounds"),
      notifications: event.detail.getAll("notifications"), volume: Number(event.detail.get("volume")),
    });
    wake();
    show();
  });
  const mute = async () => {
    state.on = !state.on;
    wake();
    show();
    const body = new URLSearchParams({
      csrfmiddlewaretoken: document.querySelector("#act [name=csrfmiddlewaretoken]").value,
    });
    if (state.on) body.set("sound_on", "on");
    await fetch("/alerts/sound/mute/", { method: "POST", body, headers: { "X-Sheet": "1" } }).catch(() => {});
  };
  document.addEventListener("keydown", (event) => {
    if (event.key !== "b" || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (document.querySelector("dialog[open]") || event.target.closest("input, textarea, select")) return;
    event.preventDefault();
    if (state.sounds.length || state.notifications.length) mute(); else sign.click();  // nothing is chosen yet
  });
  show();
})();
