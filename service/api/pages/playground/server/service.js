// What `GET /v1` tells of this server: what its model knows, and how much one request may ask for.
// Asked at once, when the model is ready, and whenever there is another key; what is not told has no limit here.

import { getObject } from "./api.js";
import { onKeyChange } from "./key.js";
import { model, onModel } from "./model.js";
import { isObject, list, number, object, text, texts } from "./said.js";

const UNTOLD = { told: false, knows: "", suggested: [], samples: [], questions: 16, bodyBytes: Infinity, pixels: Infinity, formats: null, urls: false };
const PATIENCE_S = 2;
const listeners = [];
let told = false;
let tried = false;
let finished;
const first = new Promise((resolve) => (finished = resolve));

/** `told`: the model is known; `formats` is null while it is unknown which image files are read; `urls`: whether the server fetches images. */
export const service = { ...UNTOLD };

/** Call `listener` whenever the server has told something new. */
export const onService = (listener) => listeners.push(listener);

/** Wait until the server has been asked, though not for long. */
export const serviceAsked = () => Promise.race([first, new Promise((resolve) => setTimeout(resolve, 1000 * PATIENCE_S))]);

async function ask() {
  if (told || (tried && !model.ready)) return;
  tried = told = true;
  try {
    const card = await getObject("v1");
    told = isObject(card.model); // null while it loads
    Object.assign(service, read(card));
    listeners.forEach((listener) => listener());
  } catch {
    told = false; // a key is missing, or the server is away: the next key or the next start asks again
  }
  finished();
}

const MOST_SHOWN = 12; // as many questions and samples as a checkpoint may name

function read({ model: card, limits: bounds }) {
  const [about, limits] = [object(card), object(bounds)];
  const samples = list(about.samples).map(object).filter(({ file }) => typeof file === "string");
  return {
    told: isObject(card),
    knows: text(about.knows, "", 300),
    suggested: texts(about.questions, MOST_SHOWN),
    samples: samples.map(({ file, questions }) => ({ file, questions: texts(questions, MOST_SHOWN) })),
    questions: Math.floor(number(limits.questions)) || UNTOLD.questions,
    bodyBytes: number(limits.body_bytes) || Infinity,
    pixels: number(limits.pixels) || Infinity,
    formats: Array.isArray(limits.formats) ? texts(limits.formats) : null,
    urls: limits.image_urls === true,
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
