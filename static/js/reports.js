/* A report without a time zone is asked again in the reader's own, before anything is shown. */
"use strict";
(() => {
  const asked = new URLSearchParams(location.search);
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (!zone || asked.has("zone") || zone === document.currentScript.dataset.zone) return;
  asked.set("zone", zone);
  location.replace(`?${asked}`);
})();
