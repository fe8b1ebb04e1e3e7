/* One alert: copied with a key, compared on demand, and anew when it changes, without losing a note being typed. */
"use strict";
(() => {
  const body = document.body, id = body.dataset.alert;
  if (!id) return;
  const say = (text) => {
    const line = document.getElementById("copied");
    if (line) line.textContent = text;
  };
  /* Without the clipboard's own way (plain http) a field is copied from. */
  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const field = document.createElement("textarea");
      field.value = text;
      field.className = "visually-hidden";
      document.body.append(field);
      const had = document.activeElement;
      field.select();
      const done = document.execCommand("copy");
      field.remove();
      had?.focus?.({ preventScroll: true });
      if (!done) { say("The browser does not allow copying."); return; }
    }
    say("Copied.");
  };
  const copyText = () => copy(document.getElementById("as-text").textContent);
  const copyJson = async () => {
    try {
      const answer = await fetch(`/api/v1/alerts/${id}/`, { headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(String(answer.status));
      await copy(JSON.stringify(await answer.json(), null, 2));
    } catch {
      say("The server did not answer. Try again.");
    }
  };
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-copy]")) copyText();
    else if (event.target.closest("[data-copy-from]")) copyJson();
    else if (event.target.closest("#changed button")) renew();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.target.closest?.("input, textarea, select, [contenteditable]")) return;
    if (event.key === "c") { event.preventDefault(); copyText(); }
    else if (event.key === "C") { event.preventDefault(); copyJson(); }
  });

  /* What changed in the raw data is worked out only for those who ask. */
  document.addEventListener("toggle", async (event) => {
    const place = event.target.id === "changes" && event.target.open && event.target.querySelector("[data-src]");
    if (!place || place.dataset.loaded) return;
    place.dataset.loaded = "yes";
    try {
      const answer = await fetch(place.dataset.src, { headers: { Accept: "text/html" } });
      if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      place.replaceChildren(...page.body.childNodes);
      Times.tick();
    } catch {
      delete place.dataset.loaded;
    }
  }, true);

  /* --- live -------------------------------------------------------------------------------------------------- */
  const live = document.getElementById("live");
  const sign = (state, text) => { live.hidden = false; live.dataset.state = state; live.textContent = text; };
  const isTyping = () => Boolean(document.getElementById("notes")?.value.trim()) ||
    document.querySelector("#alert select:focus, #alert input:focus") !== null;
  let seq = Number(body.dataset.seq), backoff = 500, busy = false;
  const renew = async () => {
    if (busy) return;
    busy = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html", "HX-Request": "true" } });
      if (answer.redirected) { location.reload(); return; }
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("alert"), old = document.getElementById("alert");
      if (!fresh || !old) return;
      const typed = document.getElementById("notes")?.value, open = [...old.querySelectorAll("details[open]")].map((d) => d.id);
      const had = old.contains(document.activeElement) ? document.activeElement.id : "";
      old.replaceWith(document.adoptNode(fresh));
      htmx.process(document.getElementById("alert"));
      if (typed && document.getElementById("notes")) document.getElementById("notes").value = typed;
      for (const name of open) if (name) document.getElementById(name)?.setAttribute("open", "");
      if (had) document.getElementById(had)?.focus({ preventScroll: true });
      document.getElementById("changed")?.remove();
      Times.tick();
    } catch { /* the socket says that it is not live */
    } finally {
      busy = false;
    }
  };
  /* A reader who is typing decides himself when the page changes under him. */
  const heard = () => {
    if (!isTyping()) { renew(); return; }
    if (document.getElementById("changed")) return;
    const line = document.createElement("p");
    line.id = "changed";
    line.role = "status";
    line.append("This alert has changed. ");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "btn";
    button.textContent = "Show it as it is now";
    line.append(button);
    document.getElementById("alert").before(line);
  };
  const connect = () => {
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/alerts/`);
    socket.onopen = () => socket.send(JSON.stringify({
      type: "subscribe", format: "json", filter: `?id=${id}`, since: seq, shown: [id],
      events: ["alert_created", "alert_updated", "alert_resolved", "system_status"],
    }));
    socket.onmessage = (event) => {
      const message = JSON.parse(event.data);
      if (message.type === "alerts") {
        seq = Math.max(seq, message.seq);
        socket.send(JSON.stringify({ type: "ack", seq: message.seq }));
        if (message.changes.some((change) => change.id === id)) heard();
      } else if (message.type === "subscribed") { backoff = 500; sign("live", "Live"); }
      else if (message.type === "reload") heard();
      else if (message.type === "system_status") sign(message.database === "away" ? "away" : "live", message.database === "away" ? "Not live" : "Live");
    };
    socket.onclose = (event) => {
      if (event.code === 4003) { sign("away", "Signed out. Reload to sign in"); return; }
      sign("away", "Not live");
      setTimeout(connect, backoff * (0.5 + Math.random()));
      backoff = Math.min(backoff * 2, 30000);
    };
  };
  document.addEventListener("DOMContentLoaded", connect);
})();
