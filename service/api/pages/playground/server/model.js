// What is served: name, readiness, how an image is cut. Asks /readyz, which needs no key, until it says ready.

import { get } from "./api.js";
import { find } from "../dom.js";

const AGAIN_S = 2;
const listeners = [];
let timer = null;

/** What is known of the model; `level` is the side of its tile grid, 0 until known. */
export const model = { ready: false, name: "", level: 0 };

export const onModel = (listener) => listeners.push(listener);

/** Look now, and again until the service is ready. */
export async function watchModel() {
  clearTimeout(timer);
  try {
    const card = await (await get("readyz")).json();
    Object.assign(model, { ready: true, name: card.model, level: Math.round(Math.sqrt(card.image_tiles - 1)) });
    show("ready", card.model, `${card.model} on ${card.device} in ${card.dtype}, ${card.slots} slots a worker`);
  } catch (problem) {
    model.ready = false;
    show(problem.status === 503 ? "loading" : "away", problem.detail, problem.title);
    timer = setTimeout(watchModel, 1000 * AGAIN_S);
  }
  listeners.forEach((listener) => listener());
}

function show(state, words, more) {
  find("model").dataset.state = state;
  find("model").title = more;
  find("model-name").textContent = state === "away" ? "unreachable" : words;
  find("random-weights").hidden = !model.name.includes("random-weights");
}
