/* The editor of a schedule: presets, and errors that go when their field is typed into. */
"use strict";

document.addEventListener("click", ({ target }) => {
  const preset = target.closest("[data-schedule]");
  if (!preset) return;
  const field = preset.form.elements.cron_schedule;
  field.value = preset.dataset.schedule;
  field.dispatchEvent(new Event("input", { bubbles: true }));
});

document.addEventListener("input", ({ target }) => {
  const refused = target.closest(".invalid");
  if (!refused) return;
  refused.classList.remove("invalid");
  refused.querySelector(".error")?.remove();
  target.removeAttribute("aria-invalid");
});
