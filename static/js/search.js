/* The board's search field as a combobox (ARIA 1.2): offers fields and values while one writes, and says what is wrong.
   The server knows the language; without this script the field is a plain one. */
"use strict";
(() => {
  const field = document.getElementById("search"), list = document.getElementById("search-offers");
  const wrong = document.getElementById("search-wrong"), said = document.getElementById("search-said");
  if (!field?.dataset.suggest || !list) return;
  const WAIT_MS = 120;
  let timer = null, asking = null, offers = [], from = 0, to = 0, at = -1;

  field.type = "text";           // a search field may not be a combobox, and Esc would empty it
  for (const [name, value] of Object.entries({
    role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": list.id,
    "aria-haspopup": "listbox", enterkeyhint: "search", inputmode: "search",
  })) field.setAttribute(name, value);

  const isOpen = () => !list.hidden;
  const close = () => {
    clearTimeout(timer);
    asking?.abort();
    list.hidden = true;
    at = -1;
    field.setAttribute("aria-expanded", "false");
    field.removeAttribute("aria-activedescendant");
    said.textContent = "";
  };
  const choose = (number) => {
    at = number;
    [...list.children].forEach((item, i) => item.setAttribute("aria-selected", String(i === at)));
    if (at < 0) { field.removeAttribute("aria-activedescendant"); return; }
    field.setAttribute("aria-activedescendant", list.children[at].id);
    list.children[at].scrollIntoView({ block: "nearest" });
  };
  const part = (name, text) => {
    const span = document.createElement("span");
    span.className = name;
    span.textContent = text;
    return span;
  };
  const show = (answer) => {
    ({ from, to, suggestions: offers } = answer);
    list.replaceChildren(...offers.map((offer, i) => {
      const item = document.createElement("li");
      item.id = `search-offer-${i}`;
      item.setAttribute("role", "option");
      item.setAttribute("aria-selected", "false");
      item.append(part("label", offer.label), part("note", offer.note),
        part("number", offer.number === null ? "" : `${offer.number.toLocaleString("en")} open`));
      return item;
    }));
    at = -1;
    field.removeAttribute("aria-activedescendant");
    list.hidden = offers.length === 0;
    field.setAttribute("aria-expanded", String(isOpen()));
    said.textContent = offers.length ? `${offers.length} suggestion${offers.length === 1 ? "" : "s"}` : "";
    complain(answer.error);
  };
  const complain = (sentence) => {
    if (wrong.textContent !== sentence) wrong.textContent = sentence;
    wrong.hidden = !sentence;
    if (sentence) field.setAttribute("aria-invalid", "true"); else field.removeAttribute("aria-invalid");
  };
  const ask = async (then) => {
    asking?.abort();
    const mine = asking = new AbortController();
    const asked = new URLSearchParams({ q: field.value, at: field.selectionStart ?? field.value.length });
    try {
      const answer = await fetch(`${field.dataset.suggest}?${asked}`,
        { signal: mine.signal, headers: { Accept: "application/json" } });
      if (!answer.ok || answer.redirected) { close(); return; }
      const found = await answer.json();
      if (mine.signal.aborted || document.activeElement !== field) return;
      show(found);
      then?.();
    } catch (error) {
      if (error.name !== "AbortError") close();
    }
  };
  const later = () => { clearTimeout(timer); timer = setTimeout(ask, WAIT_MS); };
  const take = (number) => {
    const { text, more } = offers[number];
    const rest = field.value.slice(to);
    const value = field.value.slice(0, from) + (rest.startsWith(" ") || rest.startsWith(",") ? text.trimEnd() : text);
    field.value = value + rest;
    field.setSelectionRange(value.length, value.length);
    close();
    if (more) ask(); else later();
  };

  /* The board's keys rest while one reads how to search; of Esc it would take the sheet's own meaning away. */
  const help = document.getElementById("search-help");
  document.addEventListener("keydown", (event) => {
    if (!help.matches(":popover-open")) return;
    event.stopPropagation();
    if (event.key === "Escape") { event.preventDefault(); help.hidePopover(); }
  }, true);

  field.addEventListener("input", later);
  field.addEventListener("blur", close);
  field.addEventListener("keydown", (event) => {
    if (event.isComposing || event.ctrlKey || event.metaKey) return;
    const last = offers.length - 1;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const down = event.key === "ArrowDown";
      if (!isOpen()) ask(() => { if (offers.length) choose(down ? 0 : offers.length - 1); });
      else if (down) choose(at === last ? -1 : at + 1);
      else choose(at === -1 ? last : at - 1);
    } else if (event.key === "Escape" && isOpen()) {
      event.preventDefault();
      event.stopPropagation();
      close();
    } else if ((event.key === "Enter" || (event.key === "Tab" && !event.shiftKey)) && isOpen() && at >= 0) {
      event.preventDefault();
      take(at);
    } else if (event.key === "Enter") close();
    else if (["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key) && isOpen()) later();
  });
  list.addEventListener("pointerdown", (event) => event.preventDefault());  // the field keeps the focus
  list.addEventListener("click", (event) => {
    const item = event.target.closest("li");
    if (item) take([...list.children].indexOf(item));
  });
})();
