/* Saved views on the board: numbers of the tabs, keys, and the sheets that the server renders. Without this file the
   same links lead to pages. */
"use strict";
(() => {
  const sheet = document.getElementById("sheet");
  if (!sheet) return;
  const typing = (element) => Boolean(element.closest("input, textarea, select, [contenteditable]"));

  document.addEventListener("board:views", (event) => {
    for (const [id, number] of Object.entries(event.detail)) {
      for (const place of document.querySelectorAll(`[data-view="${id}"]`)) {
        const text = number === null ? "!" : String(number);
        if (place.textContent !== text) place.textContent = text;
      }
    }
  });

  /* --- sheets ---------------------------------------------------------------------------------------------- */
  let cameFrom = null;
  const show = (html) => {
    sheet.innerHTML = html;
    const wanted = sheet.querySelector("[data-focus-on]")?.dataset.focusOn;
    if (!sheet.open) sheet.showModal();
    const focus = wanted && (sheet.querySelector(`[data-focus="${CSS.escape(wanted)}"]:not([disabled])`)
      || sheet.querySelector(`[data-focus$="${CSS.escape(wanted.split("-").at(-1))}"]:not([disabled])`));
    (focus || sheet.querySelector("[autofocus]:not([disabled])") || sheet.querySelector("input:not([type=hidden]):not([disabled]), button"))
      ?.focus();
    document.dispatchEvent(new CustomEvent("board:sheet"));
  };
  const failed = () => {
    const line = document.createElement("p");
    line.className = "notice error";
    line.role = "alert";
    line.textContent = "The server cannot be reached. Nothing was changed; try again.";
    if (sheet.open) sheet.prepend(line); else document.getElementById("notices").replaceChildren(line);
  };
  const here = () => location.search.slice(1);
  const open = async (link) => {
    cameFrom = document.activeElement;
    try {
      const answer = await fetch(`${new URL(link.href).pathname}?${here()}`, { headers: { "X-Sheet": "1" } });
      if (answer.redirected || !answer.ok) { location.href = link.href; return; }
      show(await answer.text());
    } catch { failed(); }
  };
  const tabs = async () => {
    try {
      const answer = await fetch(`/alerts/views/tabs/${location.search}`);
      if (answer.ok && !answer.redirected) document.getElementById("tabs").outerHTML = await answer.text();
    } catch { /* the next page has them */ }
  };
  /* The focus goes at once: left in a field that is no longer there it would swallow the next key. */
  const hide = () => {
    if (sheet.contains(document.activeElement)) document.activeElement.blur();
    sheet.close();
  };
  sheet.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    hide();
  });
  sheet.addEventListener("close", () => {
    if (sheet.open) return;  // the next one is there already
    sheet.replaceChildren();
    if (cameFrom?.isConnected) cameFrom.focus({ preventScroll: true });
  });
  sheet.addEventListener("submit", async (event) => {
    const form = event.target, button = event.submitter;
    event.preventDefault();
    if (button && "confirm" in button.dataset && !("sure" in button.dataset)) {
      button.dataset.sure = "";
      button.textContent = "Delete for good";
      return;
    }
    const body = new URLSearchParams(new FormData(form, button));
    try {
      const answer = await fetch(form.action, { method: "POST", body, headers: { "X-Sheet": "1" } });
      if (answer.redirected) { location.reload(); return; }
      if (answer.status === 204) {
        if ("stays" in form.dataset) {
          document.dispatchEvent(new CustomEvent("board:settings", { detail: new FormData(form) }));
          hide();
        } else location.assign(answer.headers.get("X-Goto"));
        return;
      }
      if (answer.status >= 500 || answer.status === 403 || answer.status === 404) throw new Error(answer.statusText);
      show(await answer.text());
      tabs();
    } catch { failed(); }
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-sheet]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    open(link);
  });
  sheet.addEventListener("click", (event) => {
    if (event.target.closest("[data-close]")) { event.preventDefault(); hide(); }
    const button = event.target.closest('button[name="move"]');
    if (!button) return;
    event.preventDefault();
    move(button.closest("li"), button.value.startsWith("later") ? 1 : -1, button);
  });

  /* --- columns: moved here, saved with the form -------------------------------------------------------------- */
  const move = (item, by, focus) => {
    const other = by > 0 ? item.nextElementSibling : item.previousElementSibling;
    if (!other) return;
    if (by > 0) other.after(item); else other.before(item);
    const items = [...item.parentNode.children];
    items.forEach((one, at) => {
      const [up, down] = one.querySelectorAll('button[name="move"]');
      up.disabled = at === 0;
      down.disabled = at === items.length - 1;
    });
    (focus.disabled ? item.querySelector("button:not([disabled])") : focus).focus();
  };
  sheet.addEventListener("keydown", (event) => {
    const item = event.target.closest(".column-list li");
    if (item && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      const by = event.key === "ArrowDown" ? 1 : -1;
      if (event.altKey) { move(item, by, event.target); return; }
      let next = item;
      do { next = by > 0 ? next.nextElementSibling : next.previousElementSibling; }
      while (next && next.querySelector("input[type=checkbox]").disabled);
      next?.querySelector("input[type=checkbox]").focus();
    } else if (item && event.key === "Enter" && event.target.matches("input")) {
      event.preventDefault();  // the first button of the form would move a column
      const form = event.target.form;
      form.requestSubmit(form.querySelector("[data-default]"));
    }
  });

  /* --- on the board ------------------------------------------------------------------------------------------ */
  document.getElementById("group")?.addEventListener("change", (event) => event.target.form.requestSubmit());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || typing(event.target)) return;
    if (document.querySelector("dialog[open]")) return;
    const sheets = { v: "views", c: "settings" };
    const link = sheets[event.key] && document.querySelector(`[data-sheet="${sheets[event.key]}"]`);
    if (link) { event.preventDefault(); open(link); return; }
    if (!/^[0-9]$/.test(event.key)) return;
    const tab = document.querySelectorAll("#tabs a")[Number(event.key)];
    if (tab) { event.preventDefault(); tab.click(); }
  });
})();
