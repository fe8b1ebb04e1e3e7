// Rows edited in place: Escape leaves the form as its Cancel does.
document.addEventListener("keyup", (event) => {
  if (event.key !== "Escape") return;
  const cancel = event.target instanceof Element && event.target.closest("tr.editing")?.querySelector("[data-cancel]");
  if (cancel) cancel.click();
});
