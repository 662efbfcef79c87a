// The page's one loop: ask, show what comes, cancel, ask again. Everything else is wired by the modules themselves.

import { AnswerCard } from "./answer.js";
import { Problem, stream } from "./api.js";
import { find } from "./dom.js";
import { readRequest } from "./form.js";
import "./load.js";
import { watchModel } from "./model.js";

const KEPT = 50; // cards; the oldest go
const running = new Set();

function formOf({ fields, image }) {
  const form = new FormData();
  form.append("image", image.file, image.name);
  for (const [name, value] of fields) form.append(name, value);
  return form;
}

/** Send the card's request and show what becomes of it; never fails. */
async function run(card) {
  const aborter = new AbortController();
  card.abort = () => aborter.abort();
  running.add(card);
  card.begin();
  try {
    for await (const event of stream(card.request.path, formOf(card.request), aborter.signal)) {
      if (event.completed) card.finish(event);
      else card.chunk(event);
    }
  } catch (error) {
    if (aborter.signal.aborted) card.cancelled();
    else card.fail(error instanceof Problem ? error : unexpected(error));
    if (error.status === 503 || error.status === 0) watchModel();
  } finally {
    running.delete(card);
  }
}

function unexpected(error) {
  return new Problem({ status: 0, title: "This page failed", detail: `${error.name}: ${error.message}` });
}

function ask() {
  const request = readRequest();
  if (!request) return;
  const card = new AnswerCard(request, {
    cancel: () => card.abort(),
    again: () => running.has(card) || run(card),
  });
  find("nothing").hidden = true;
  find("answers").prepend(card.element);
  while (find("answers").children.length > KEPT) find("answers").lastElementChild.remove();
  run(card);
}

find("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.defaultPrevented || find("key-dialog").open) return;
  running.forEach((card) => card.abort());
});
watchModel();
