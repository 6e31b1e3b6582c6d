/* What every page needs: the viewer's zone, the beat that live parts follow, and troubles told. */
"use strict";

const LOOK_MILLISECONDS = 3000;

/* Pages show times in this zone; lap.web.viewer reads the cookie. */
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
document.cookie = `lap_zone=${zone}; path=/; max-age=31536000; samesite=lax`;

/* Live parts ask again at every "look", which stops while nobody sees the page. */
const look = () => document.hidden || htmx.trigger(document.body, "look");
setInterval(look, LOOK_MILLISECONDS);
document.addEventListener("visibilitychange", look);

/* A part that could not be fetched is said once, and taken back when asking works again. */
const tell = (sentence) => {
  const trouble = document.getElementById("trouble");
  trouble.textContent = sentence;
  trouble.hidden = !sentence;
};
document.addEventListener("htmx:sendError", () => tell("LAP does not answer. This page shows what it last knew."));
document.addEventListener("htmx:responseError", ({ detail: { xhr } }) =>
  tell(xhr.status === 401
    ? "You are logged out. Log in in another tab, then reload this page."
    : `LAP answered with an error (${xhr.status}). Reload the page and try again.`));
document.addEventListener("htmx:afterRequest", (event) => event.detail.successful && tell(""));
