// The page's one loop: ask about each image in turn, show what comes, keep it, cancel, ask again.
// Everything else is wired by the modules themselves.

import { AnswerCard } from "./answers/answer.js";
import { fillIn, readRequests } from "./ask/form.js";
import { askForImage, makeLink, note } from "./ask/link.js";
import "./ask/suggestions.js";
import { find, isPlain } from "./dom.js";
import { sampleName, takeSample } from "./image/sources.js";
import "./image/tray.js";
import { recordOf, requestOf } from "./kept/record.js";
import { keep, kept, onOtherTab } from "./kept/store.js";
import { showKept } from "./kept/toolbar.js";
import { Problem, stream } from "./server/api.js";
import "./server/load.js";
import { watchModel } from "./server/model.js";

const KEPT = 50; // cards; the oldest that have ended go
const AT_ONCE = 2; // requests of one press: the next image is read while this one is answered
const running = new Set();
const returning = new Set(); // cards whose sample is on its way again

function formOf({ fields, image }) {
  const form = new FormData();
  if (image.file) form.append("image", image.file, image.name);
  else form.append("image_url", image.id ?? image.address);
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
    for await (const event of stream(card.request.path, formOf(card.request), aborter.signal, card.parts.length)) {
      if (event.completed) card.finish(event);
      else card.chunk(event);
      if (event.completed) save(card, event);
    }
  } catch (error) {
    if (aborter.signal.aborted) stopped(card);
    else card.fail(error instanceof Problem ? error : unexpected(error));
    if (error.status === 503 || error.status === 0) watchModel();
  } finally {
    running.delete(card);
  }
}

function stopped(card) {
  card.cancelled();
  if (card.texts.some(Boolean)) save(card, null);
}

const save = (card, end) => showKept(keep(recordOf(card.id, card, end)));

function unexpected(error) {
  return new Problem({ status: 0, title: "This page failed", detail: `${error.name}: ${error.message}` });
}

/** A card in its place, with what its buttons do; its request is sent by `run`. */
function cardFor(request, id = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`) {
  const card = new AnswerCard(request, {
    cancel: () => card.abort(),
    again: () => running.has(card) || returning.has(card) || again(card),
    link: () => makeLink(request),
  });
  card.id = id;
  return card;
}

/** Ask the same again; of an answer of another day the image may be gone, then its question is filled in. */
async function again(card) {
  const { file, sample, id, address, name } = card.request.image;
  const known = sampleName(sample);
  if (!file && known) {
    returning.add(card);
    card.request.image = (await takeSample(known)) ?? card.request.image;
    returning.delete(card);
    if (!card.element.isConnected) return undefined; // cleared meanwhile: nobody would see the answer
  }
  if (card.request.image.file || id || address) return run(card);
  fillIn(card.request.filled);
  return askForImage(name);
}

async function ask() {
  const cards = readRequests().map((request) => cardFor(request));
  if (!cards.length) return;
  note();
  const waiting = [...cards];
  for (const card of cards) {
    card.queue();
    running.add(card);
    card.abort = () => leave(card, waiting);
  }
  place(cards);
  cards[0].element.scrollIntoView({ block: "nearest" }); // on a phone it would be below the form, out of sight
  const work = async () => {
    for (let card = waiting.shift(); card; card = waiting.shift()) await run(card);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}

/** Cancelled before its turn. */
function leave(card, waiting) {
  waiting.splice(waiting.indexOf(card), 1);
  running.delete(card);
  card.cancelled();
}

function place(cards) {
  find("nothing").hidden = true;
  find("answers").prepend(...cards.map(({ element }) => element));
  trim();
}

/** Take the oldest cards off the page; those whose answer is still to come stay, however many they are. */
function trim() {
  const all = [...find("answers").children];
  const busy = new Set([...running, ...returning].map(({ element }) => element));
  const ended = all.filter((element) => !busy.has(element)).reverse();
  ended.slice(0, Math.max(all.length - KEPT, 0)).forEach((element) => element.remove());
}

/** Answers of another day. */
function restore() {
  for (const record of kept().reverse()) {
    try {
      const card = cardFor(requestOf(record), record.id);
      card.restore(record);
      place([card]);
    } catch {
      // kept by another version of this page, whose fields were others
    }
  }
  showKept();
}

find("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !isPlain(event) || event.repeat) return; // held, it has just closed the dialog
  if (event.defaultPrevented || find("key-dialog").open) return;
  [...running].forEach((card) => card.abort());
});
onOtherTab(showKept);
restore();
watchModel();
