// The images to ask about: which they are, which of them is on the stage, and the stage itself with tile grid and heat map.
// Knows how an image is cut only as a number, the grid's side; where images come from is `sources.js`'s.

import { announce, el, find, svg } from "../dom.js";
import { model, onModel } from "../server/model.js";
import { drawHeat } from "./heat.js";
import { prepare } from "./prepare.js";

const MOST = 50; // images at once, as many as there are answers on the page
const listeners = [];
let images = [];
let current = null;
let turn = 0;
let round = 0;

/** The image on the stage, or null; see `prepare.js`, or {id} and {address} for those that the server has or fetches. */
export const picture = () => current;

/** All images at hand. */
export const pictures = () => images;

/** Call `listener` whenever there are other images. */
export const onPicture = (listener) => listeners.push(listener);

/** Say that images are on their way; what is given tells, until others are on theirs, that they may take the place. */
export function claim() {
  const mine = (turn += 1);
  return () => mine === turn;
}

/** Take files as the images, in place of those that were there; `sample` is where the server has the only one. Gives the last. */
export async function take(files, { sample = null, mine = claim() } = {}) {
  const [taken, unread] = [[], []];
  if (mine()) say("");
  for (const file of files.slice(0, MOST)) {
    const image = await prepare(file, sample);
    if (!mine()) return image; // others came meanwhile
    if (image) put(taken.length ? [...images, image] : [image], taken.length ? current : image); // some may be taken away already
    (image ? taken : unread).push(image ?? file.name);
  }
  const what = taken.length > 1 ? `${images.length} images.` : `Image: ${current?.name}.`;
  if (taken.length) announce(`${what} ${current.refused || current.notes.join(" ")}`);
  if (files.length > MOST) sayMore(`The first ${MOST} of ${files.length} images were taken.`);
  if (unread.length) sayMore(`Cannot be read: ${unread.join(", ")}.`);
  return taken.at(-1) ?? null;
}

/** Take an image that is not here: {id} of one that the server has, or the {address} of one that it fetches. */
export function takeElsewhere(image, mine = claim()) {
  if (!mine()) return;
  say("");
  const whole = { file: null, type: "", url: "", sample: null, width: 0, height: 0, thumb: "", notes: [], refused: "", ...image };
  put([whole], whole);
  announce(`Image: ${whole.name}.`);
}

/** Prepare each image again where it stands, for a server that has told more about what it takes. */
export async function retake() {
  const mine = (round += 1);
  for (const old of images.filter(({ original }) => original)) {
    const image = await prepare(old.original, old.sample);
    if (mine !== round) return; // it has told even more
    if (image) put(images.map((each) => (each === old ? image : each)), old === current ? image : current);
  }
}

/** Put one of the images on the stage. */
export function show(image) {
  put(images, image);
  announce(`Image: ${image.name}.`);
}

export function remove(image) {
  const at = images.indexOf(image);
  const rest = images.filter((each) => each !== image);
  put(rest, image === current ? rest[Math.min(at, rest.length - 1)] : current);
}

function put(all, shown) {
  images = [...all];
  if (shown !== current) {
    current = shown;
    find("stage-empty").hidden = true;
    find("stage-figure").hidden = false;
    find("stage").dataset.state = current.url && current.width ? "shown" : "unknown";
    if (current.url && current.width) find("stage-image").src = current.url;
    else find("stage-image").removeAttribute("src");
    showHeat(current, null);
  }
  describe();
  listeners.forEach((listener) => listener());
}

/** A word about the images that were given, under the stage. */
export function say(words) {
  find("stage-note").textContent = words;
  find("stage-note").hidden = !words;
}

const sayMore = (words) => say([find("stage-note").textContent, words].filter(Boolean).join(" "));

function describe() {
  if (!current) return;
  const { url, width, height, name, notes, refused, id, address } = current;
  const unseen = id ? "kept by the server" : address ? "the server fetches it" : "no preview; the server will say whether it can read it";
  const size = width ? `${width} × ${height} px` : "";
  const seen = url && width ? "" : refused ? "no preview" : unseen;
  const tiles = width && model.level ? `1 global view + ${model.level} × ${model.level} tiles` : "";
  find("stage-caption").replaceChildren(
    [name, size, seen, tiles].filter(Boolean).join(" · "),
    ...notes.map((note) => el("span", { class: "changed" }, `${note}.`)),
    ...(refused ? [el("span", { class: "refused" }, refused)] : []),
  );
  drawGrid(url && width ? model.level : 0);
}

function drawGrid(level) {
  const grid = find("stage-grid");
  grid.setAttribute("viewBox", `0 0 ${level || 1} ${level || 1}`);
  const inner = Array.from({ length: Math.max(level - 1, 0) }, (_, index) => index + 1);
  const lines = inner.flatMap((at) => [
    { x1: at, x2: at, y1: 0, y2: level },
    { x1: 0, x2: level, y1: at, y2: at },
  ]);
  grid.replaceChildren(
    ...["under", "over"].flatMap((kind) => lines.map((line) => svg("line", { ...line, class: kind }))),
  );
}

/** Lay a heat map over `shown` if that is the image on the stage; null takes it away. */
export function showHeat(shown, map) {
  const canvas = find("stage-heat");
  canvas.hidden = !map || shown !== current;
  if (!canvas.hidden) drawHeat(canvas, map);
}

find("show-grid").addEventListener("change", (event) => find("stage").classList.toggle("gridless", !event.target.checked));
onModel(describe);
