// What `GET /v1` tells of this server: what its model knows, and how much one request may ask for.
// Asked at once, when the model is ready, and whenever there is another key; what is not told has no limit here.

import { get } from "./api.js";
import { onKeyChange } from "./key.js";
import { model, onModel } from "./model.js";

const UNTOLD = { knows: "", suggested: [], samples: [], questions: 16, bodyBytes: Infinity, pixels: Infinity, formats: null, urls: false };
const PATIENCE_S = 2;
const listeners = [];
let told = false;
let tried = false;
let finished;
const first = new Promise((resolve) => (finished = resolve));

/** `formats` is null while it is unknown which image files are read; `urls`: whether the server fetches images. */
export const service = { ...UNTOLD };

/** Call `listener` whenever the server has told something new. */
export const onService = (listener) => listeners.push(listener);

/** Wait until the server has been asked, though not for long. */
export const serviceAsked = () => Promise.race([first, new Promise((resolve) => setTimeout(resolve, 1000 * PATIENCE_S))]);

async function ask() {
  if (told || (tried && !model.ready)) return;
  tried = told = true;
  try {
    const card = await (await get("v1")).json();
    told = Boolean(card.model); // null while it loads
    Object.assign(service, read(card));
    listeners.forEach((listener) => listener());
  } catch {
    told = false; // a key is missing, or the server is away: the next key or the next start asks again
  }
  finished();
}

const texts = (list) => (Array.isArray(list) ? list.filter((each) => typeof each === "string") : []);

function read({ model: card, limits = {} }) {
  const about = card && typeof card === "object" ? card : {};
  return {
    knows: about.knows ?? "",
    suggested: texts(about.questions),
    samples: (Array.isArray(about.samples) ? about.samples : []).map(({ file, questions }) => ({ file, questions: texts(questions) })),
    questions: limits.questions ?? UNTOLD.questions,
    bodyBytes: limits.body_bytes ?? Infinity,
    pixels: limits.pixels ?? Infinity,
    formats: limits.formats ?? null,
    urls: limits.image_urls ?? false,
  };
}

onModel(() => {
  told &&= model.ready; // another model may come back
  ask();
});
onKeyChange(() => {
  tried = told = false;
  ask();
});
