/* Forms with rows: a button that is told what it removes takes its row away. */
"use strict";

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-removes]");
  if (!button) return;
  const next = button.closest("fieldset").querySelector("[hx-get]");
  button.closest(button.dataset.removes).remove();
  next.focus();
});
