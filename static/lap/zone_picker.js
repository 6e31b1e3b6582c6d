/* The time zone's field as a combobox (ARIA 1.2) whose options the server finds.
   The list opens by typing (what matches), a click or an arrow key (all zones). */
"use strict";

{
  const pickerOf = (node) => node.closest?.("[role=combobox][aria-controls=zones]");
  const fieldOf = (list) => list === "zones" && document.querySelector("[aria-controls=zones]");
  const listOf = (field) => document.getElementById(field.getAttribute("aria-controls"));
  const optionsOf = (field) => [...listOf(field).querySelectorAll("[role=option]")];
  const activeOf = (field) => document.getElementById(field.getAttribute("aria-activedescendant"));
  const isOpen = (field) => field.ariaExpanded === "true";

  const activate = (field, option) => {
    activeOf(field)?.setAttribute("aria-selected", "false");
    field.setAttribute("aria-activedescendant", option?.id ?? "");
    option?.setAttribute("aria-selected", "true");
    option?.scrollIntoView({ block: "nearest" });
  };

  const show = (field, isShown) => {
    listOf(field).hidden = !isShown;
    field.ariaExpanded = String(isShown);
    if (!isShown) activate(field, null);
  };

  const choose = (field, option) => {
    if (!option?.dataset.zone) return;
    field.value = option.dataset.zone;
    show(field, false);
    field.dispatchEvent(new Event("change", { bubbles: true }));
  };

  const browse = (field) => {
    field.dataset.sought = "";
    htmx.trigger(field, "zones");
  };

  const move = (field, step) => {
    if (!isOpen(field)) return browse(field);
    const options = optionsOf(field);
    const next = options.indexOf(activeOf(field)) + step;
    activate(field, options.at(next < -1 ? -1 : next % options.length));
  };

  const keys = {
    ArrowDown: (field) => move(field, 1),
    ArrowUp: (field) => move(field, -1),
    Enter: (field) => choose(field, activeOf(field)),
    Escape: (field) => show(field, false),
    Tab: (field) => choose(field, activeOf(field)),
  };

  document.addEventListener("keydown", (event) => {
    const field = pickerOf(event.target);
    if (!field || !keys[event.key]) return;
    const isAwaited = event.key === "Enter" && "awaited" in field.dataset;
    if (!isOpen(field) && !isAwaited && !event.key.startsWith("Arrow")) return;
    if (event.key !== "Tab") event.preventDefault();
    keys[event.key](field);
  });

  document.addEventListener("input", ({ target }) => {
    if (!pickerOf(target)) return;
    target.dataset.sought = target.value;
    target.dataset.awaited = "";
  });

  /* The field keeps the focus while an option is pressed. */
  document.addEventListener("mousedown", (event) => {
    if (event.target.closest("#zones")) event.preventDefault();
  });

  document.addEventListener("click", ({ target }) => {
    if (pickerOf(target) && !isOpen(target)) browse(target);
    if (target.closest("#zones")) choose(fieldOf("zones"), target.closest("[role=option]"));
  });

  document.addEventListener("focusout", ({ target }) => pickerOf(target) && show(target, false));

  document.addEventListener("htmx:configRequest", ({ target, detail }) => {
    if (pickerOf(target)) detail.parameters.q = target.dataset.sought;
  });

  document.addEventListener("htmx:afterRequest", ({ target }) => {
    if (pickerOf(target)) delete target.dataset.awaited;
  });

  document.addEventListener("htmx:afterSwap", ({ target }) => {
    const field = fieldOf(target.id);
    if (!field || document.activeElement !== field) return;
    show(field, true);
    const options = optionsOf(field);
    const chosen = options.find((option) => option.dataset.zone === field.value);
    activate(field, chosen ?? (field.dataset.sought ? options[0] : null));
  });
}
