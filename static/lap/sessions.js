/* The message box of a conversation: Ctrl+Enter or Cmd+Enter sends, and the next one can be typed at once. */
"use strict";

document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.id === "message") {
    event.target.form.requestSubmit();
  }
});

/* A box that was disabled while it waited has lost the focus; who went elsewhere meanwhile stays there. */
document.addEventListener("htmx:afterSettle", (event) => {
  if (event.target.id === "composer" && document.activeElement === document.body) {
    document.getElementById("message").focus();
  }
});
