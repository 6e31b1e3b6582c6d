/* Keeps times from now current: what lap.web.tags.from_now said when the page was made. */
"use strict";

{
  const sized = (seconds) => {
    const [minutes, hours, days] = [60, 3600, 86400].map((unit) => Math.floor(seconds / unit));
    if (days >= 30) return `${days} d`;
    if (days) return `${days} d ${hours % 24} h`;
    if (hours) return `${hours} h ${minutes % 60} min`;
    return minutes ? `${minutes} min` : `${seconds} s`;
  };

  const fromNow = (at) => {
    const seconds = Math.trunc((at - Date.now()) / 1000);
    if (Math.abs(seconds) < 5) return "now";
    return seconds > 0 ? `in ${sized(seconds)}` : `${sized(-seconds)} ago`;
  };

  setInterval(() => {
    for (const time of document.querySelectorAll("time.from-now")) {
      const words = fromNow(Date.parse(time.dateTime));
      if (time.textContent !== words) time.textContent = words;
    }
  }, 1000);
}
