// A failure in words, and the way out of it: wait and retry, another key, or another image.

import { announce, el } from "../dom.js";
import { askForKey } from "../server/key.js";

const ADVICE = {
  400: "The request could not be read as it was sent.",
  401: "This server asks for an API key.",
  404: "The server does not know this address; another version of it may be running.",
  408: "The upload was too slow.",
  413: "Choose a smaller image.",
  415: "Choose a JPEG, PNG, WebP, AVIF or another common image file.",
  429: "The server is busy. Nothing was lost; ask again in a moment.",
  500: "The log of the server knows more.",
  503: "The service is starting, stopping or recovering.",
  504: "Ask for fewer tokens, or try when the server is less busy.",
};
const REFUSED = new Set([404, 413, 415, 422]); // the image's id, the file or the form: the detail names what, and what to send instead
const WORTH_RETRYING = new Set([0, 401, 408, 429, 500, 502, 503, 504]);

/** The problem on the page; `again` repeats the request. */
export function problemView(problem, again) {
  const refused = REFUSED.has(problem.status) && problem.explained;
  const status = problem.status ? el("span", { class: "status" }, String(problem.status)) : null;
  const advice = refused ? null : ADVICE[problem.status];
  const view = el(
    "div",
    { class: "problem", role: "alert" },
    el("p", { class: "title" }, status, status && " ", refused ? problem.detail : problem.title),
    refused ? el("p", { class: "kind" }, problem.title) : el("p", {}, problem.detail),
    advice ? el("p", { class: "advice" }, advice) : null,
  );
  if (problem.status === 401) view.append(keyButton(problem, again));
  else if (WORTH_RETRYING.has(problem.status)) view.append(retryButton(problem.retryAfterS ?? 0, again));
  return view;
}

function keyButton(problem, again) {
  const ask = () => askForKey(`${ADVICE[401]} It is kept in this browser tab until the tab is closed.`, again);
  ask();
  return el("button", { type: "button", class: "button small retry", onclick: ask }, "Enter a key");
}

function retryButton(seconds, again) {
  const button = el("button", { type: "button", class: "button small retry", onclick: again });
  const tick = (left) => {
    button.disabled = left > 0;
    button.textContent = left > 0 ? `Retry in ${left} s` : "Retry";
    if (left > 0) setTimeout(tick, 1000, left - 1);
    else if (seconds > 0 && button.isConnected) announce("You can retry now.");
  };
  tick(seconds);
  return button;
}
