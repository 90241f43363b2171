// Inside Airflow the pages stand in a frame that may not move the window around it. Links marked data-airflow lead to
// Airflow's own pages: its router is told the address; without a frame, or without a script, they are ordinary links.
"use strict";
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-airflow]");
  if (!link || window.parent === window || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  const target = new URL(link.href);
  if (target.origin !== window.location.origin) return;
  event.preventDefault();
  window.parent.history.pushState(null, "", target.pathname + target.search);
  window.parent.dispatchEvent(new PopStateEvent("popstate", { state: null }));
});
