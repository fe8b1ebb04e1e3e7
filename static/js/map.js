// The map looks again every few seconds; the header says whether it could. Without this file all links work as links.
(() => {
  "use strict";
  const say = (state, text) => {
    const live = document.getElementById("live"); // another one after going back
    if (!live || live.dataset.state === state) return;
    live.hidden = false;
    live.dataset.state = state;
    live.textContent = text;
  };
  const clock = () => new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const away = () => say("away", `Not live since ${clock()}`);
  say("live", "Live");
  document.addEventListener("htmx:afterRequest", (event) => (event.detail.successful ? say("live", "Live") : away()));
  document.addEventListener("htmx:sendError", away);
  document.addEventListener("htmx:timeout", away);

  const focus = document.querySelector("[data-focus]");
  const sheet = document.querySelector(".sheet");
  if (focus && sheet) {
    const card = focus.getBoundingClientRect(), frame = sheet.getBoundingClientRect();
    if (card.right > frame.right || card.bottom > frame.bottom) {
      sheet.scrollLeft += card.left - frame.left - frame.width / 3;
      sheet.scrollTop += card.top - frame.top - frame.height / 3;
    }
  }
  // What is shown anew must not jump: the sheet keeps its place.
  let place = null;
  document.addEventListener("htmx:beforeSwap", () => {
    const old = document.querySelector(".sheet");
    place = old ? [old.scrollLeft, old.scrollTop] : null;
  });
  document.addEventListener("htmx:afterSwap", () => {
    const now = document.querySelector(".sheet");
    if (now && place) [now.scrollLeft, now.scrollTop] = place;
  });
})();
