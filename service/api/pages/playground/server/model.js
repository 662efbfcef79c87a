// The model that is served: name, readiness, how an image is cut. Asks /readyz, which needs no key, until it says ready.

import { find } from "../dom.js";
import { getObject } from "./api.js";
import { number, text } from "./said.js";

const AGAIN_S = 2;
const MOST_LEVEL = 16;
const listeners = [];
let timer = null;

/** What is known of the model; `level` is the side of its tile grid, 0 until known. */
export const model = { ready: false, name: "", level: 0 };

export const onModel = (listener) => listeners.push(listener);

/** Look now, and again until the service is ready. */
export async function watchModel() {
  clearTimeout(timer);
  try {
    const card = await getObject("readyz");
    const level = Math.round(Math.sqrt(Math.max(number(card.image_tiles) - 1, 0)));
    Object.assign(model, { ready: true, name: text(card.model, "a model without a name", 200), level: Math.min(level, MOST_LEVEL) });
    show("ready", model.name, `${model.name} on ${text(card.device)} in ${text(card.dtype)}, ${number(card.slots)} slots a worker`);
  } catch (problem) {
    model.ready = false;
    const { status, title, detail, short } = problem;
    if (status === 503) show("loading", detail, title);
    else show("away", short, `${title}. ${detail}`);
    timer = setTimeout(watchModel, 1000 * AGAIN_S);
  }
  listeners.forEach((listener) => listener());
}

function show(state, words, more) {
  find("model").dataset.state = state;
  find("model").title = more;
  find("model-name").textContent = words;
  find("random-weights").hidden = !model.name.includes("random-weights");
}
