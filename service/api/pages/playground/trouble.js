// The last word when the page itself fails: a script that did not come, or an error that nobody caught.
// A plain script in the head, so that it is there when nothing else is. Knows nothing of the rest of the page.
"use strict";

(() => {
  const MOST_CHARS = 300;

  function say(words) {
    const place = document.getElementById("trouble");
    if (!place) return document.addEventListener("DOMContentLoaded", () => say(words), { once: true });
    document.getElementById("trouble-words").textContent = String(words).slice(0, MOST_CHARS);
    place.hidden = false;
    return undefined;
  }

  const onError = ({ target, message }) => {
    if (target?.tagName === "SCRIPT") say("One of its scripts did not come.");
    else if (message) say(message);
  };
  addEventListener("error", onError, true);
  addEventListener("unhandledrejection", ({ reason }) => say(reason?.message ?? reason));
})();
