/* Names for fields to which the stock admin gives none: the halves of a moment, and the search of a list. */
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  for (const field of document.querySelectorAll(".vDateField, .vTimeField")) {
    if (field.labels?.length || field.hasAttribute("aria-label")) continue;
    const of = field.closest("fieldset, .form-row")?.querySelector("legend, label")?.textContent.trim().replace(/:$/, "");
    field.setAttribute("aria-label", `${of ? `${of}, ` : ""}${field.matches(".vDateField") ? "date" : "time"}`);
  }
  for (const link of document.querySelectorAll("#changelist-filter a")) link.textContent ||= "(empty)";
  document.getElementById("searchbar")?.setAttribute("aria-label", "Search");
});
/* Drawn by the admin's own script when everything is loaded. */
addEventListener("load", () => {
  for (const sign of document.querySelectorAll("span.help-tooltip[aria-label]")) sign.setAttribute("role", "img");
});
