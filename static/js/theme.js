/* Pins light or dark before the first paint. The key and its values are the admin's own. */
"use strict";
(() => {
  const MODES = ["auto", "light", "dark"];
  const root = document.documentElement;
  const stored = () => {
    try { return localStorage.getItem("theme"); } catch { return null; }
  };
  const apply = (mode) => {
    root.dataset.theme = mode;
    for (const button of document.querySelectorAll(".theme-toggle")) {
      button.dataset.mode = mode;
      button.setAttribute("aria-label", `Colours: ${mode === "auto" ? "as the system" : mode}. Change`);
      button.title = button.getAttribute("aria-label");
    }
  };
  const current = () => (MODES.includes(stored()) ? stored() : "auto");
  apply(current());
  document.addEventListener("DOMContentLoaded", () => apply(current()));
  addEventListener("storage", (event) => event.key === "theme" && apply(current()));
  document.addEventListener("click", (event) => {
    if (!event.target.closest(".theme-toggle")) return;
    const next = MODES[(MODES.indexOf(root.dataset.theme) + 1) % MODES.length];
    try { localStorage.setItem("theme", next); } catch { /* private window: pinned for this page only */ }
    apply(next);
  });
})();
