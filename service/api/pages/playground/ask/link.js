// A request as a link, and back: settings and questions in the address's fragment, which no server ever sees.
// The image is named there, not held: a sample, an id that the server keeps for a while, an address, or a file to drop again.

import { announce, find } from "../dom.js";
import { claim, takeElsewhere } from "../image/picture.js";
import { isSample, takeAddress, takeSample } from "../image/sources.js";
import { getObject, upload } from "../server/api.js";
import { number, text } from "../server/said.js";
import { service, serviceAsked } from "../server/service.js";
import { fillIn } from "./form.js";

const ID = /^img_[0-9a-f]{1,64}$/;
const MOST_CHARS = 16384; // of a field
const MOST_NAME_CHARS = 200;
const MOST_QUESTIONS = 64;
const PLAIN = ["task", "kind", "answer_style", "choices", "max_tokens", "temperature", "top_p", "seed", "stop"];

/** The link of a request. `kept` is the id under which the server keeps the image, if it does. */
function linkOf({ filled, image }, kept) {
  const skipped = filled.task === "vqa" ? ["kind"] : ["answer_style", "choices"];
  const values = PLAIN.filter((name) => filled[name] && !skipped.includes(name)).map((name) => [name, filled[name]]);
  if (filled.task === "vqa") values.push(...filled.questions.map((text) => ["question", text]));
  if (filled.explain) values.push(["explain", "true"]);
  const named = image.sample ? [["sample", image.sample.split("/").pop()]] : [["name", image.name]];
  if (image.address) named.push(["url", image.address]);
  else if (kept) named.push(["id", kept]);
  const fragment = new URLSearchParams([...named, ...values]);
  return new URL(`#${fragment}`, document.baseURI).href;
}

/** The link of a request, and a word about its image; a file is uploaded, so that the link finds it for a while. */
export async function makeLink(request) {
  const { image } = request;
  if (image.sample || image.address) return { href: linkOf(request), words: "" };
  const card = image.file ? await upload(image.file, image.name).catch(() => null) : null;
  const id = text(card?.id) || image.id;
  if (!id) return { href: linkOf(request), words: "The image is not in it: whoever opens it drops it again." };
  const minutes = card ? Math.max(Math.round(number(card.expires_in_s) / 60), 1) : 0;
  const time = minutes ? ` for ${minutes} min` : " for a while";
  return { href: linkOf(request, id), words: `The image is not in it; the server keeps it${time}, for the same API key.` };
}

/** The form and the image as a fragment names them; null if it names none. */
function parse(fragment) {
  const values = new URLSearchParams(fragment.replace(/^#/, ""));
  if (!["task", "question", "kind"].some((name) => values.has(name))) return null;
  const field = (name, most = MOST_CHARS) => (values.get(name) ?? "").slice(0, most);
  const filled = Object.fromEntries(PLAIN.map((name) => [name, field(name)]));
  const image = Object.fromEntries(["sample", "id", "url"].map((name) => [name, field(name)]));
  const questions = values.getAll("question").slice(0, MOST_QUESTIONS).map((text) => text.slice(0, MOST_CHARS));
  return { filled: { ...filled, questions, explain: values.has("explain") }, image: { ...image, name: field("name", MOST_NAME_CHARS) } };
}

/** Find the image of a link; the answer says whether it is there. `mine`: whether no other image came meanwhile. */
async function findImage({ sample, id, url, name }, mine) {
  await serviceAsked();
  if (isSample(sample) && (await takeSample(sample, mine))) return true;
  if (url && service.urls && takeAddress(url, mine)) return true;
  if (ID.test(id)) {
    const card = await getObject(`v1/images/${id}`).catch(() => null);
    if (card) takeElsewhere({ id, name: name || "image", width: number(card.width_px), height: number(card.height_px) }, mine);
    if (card) return true;
  }
  return false;
}

async function open() {
  const asked = parse(location.hash);
  if (!asked) return;
  const { sample, id, url, name } = asked.image;
  note();
  fillIn(asked.filled);
  const mine = claim();
  const there = (sample || id || url) && (await findImage(asked.image, mine));
  if (mine()) note(there ? "This is the question of a link, filled in and ready to ask." : missing(name));
}

const missing = (name) => `The question of the link is filled in. Its image is not in the link: drop ${name || "it"} here again.`;

/** A word about a question that was filled in; none takes it away. */
export function note(words = "") {
  find("link-note").textContent = words;
  find("link-note").hidden = !words;
  if (words) announce(words);
}

/** Say that the image of a question must be given again. */
export const askForImage = (name) => note(`The question is filled in again. Its image is no longer here: drop ${name} again.`);

addEventListener("hashchange", open);
open();
