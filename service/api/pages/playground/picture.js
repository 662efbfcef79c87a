// The image to ask about: chosen, dropped, pasted or a sample; shown with its tile grid and, over it, a heat map.
// Knows how an image is cut only as a number, the grid's side.

import { announce, find, svg } from "./dom.js";
import { drawHeat } from "./heat.js";
import { model, onModel } from "./model.js";

const listeners = [];
let current = null;

/** The image at hand, or null: {file, name, url, sample, width, height}; `sample` is where the server has it. */
export const picture = () => current;

/** Call `listener` whenever there is another image. */
export const onPicture = (listener) => listeners.push(listener);

/** Take a file as the image; what cannot be shown here may still be readable to the server. */
export async function take(file, sample = null) {
  const url = URL.createObjectURL(file);
  const image = find("stage-image");
  current = { file, name: file.name || "image", url, sample, width: 0, height: 0 };
  image.src = url;
  try {
    await image.decode();
    Object.assign(current, { width: image.naturalWidth, height: image.naturalHeight });
  } catch {
    image.removeAttribute("src");
  }
  find("stage").dataset.state = current.width ? "shown" : "unknown";
  find("stage-empty").hidden = true;
  find("stage-figure").hidden = false;
  showHeat(current, null);
  describe();
  listeners.forEach((listener) => listener());
  announce(`Image: ${current.name}`);
}

function describe() {
  if (!current) return;
  const { width, height, name } = current;
  const size = width ? `${width} × ${height} px` : "no preview; the server will say whether it can read it";
  const tiles = width && model.level ? `1 global view + ${model.level} × ${model.level} tiles` : "";
  find("stage-caption").textContent = [name, size, tiles].filter(Boolean).join(" · ");
  drawGrid(width ? model.level : 0);
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

async function takeSample(name) {
  const path = `playground/samples/${name}`;
  const response = await fetch(path).catch(() => null);
  if (!response?.ok) {
    find("ask-wrong").textContent = "The sample cannot be loaded. Is the server still running?";
    find("ask-wrong").hidden = false;
    return;
  }
  await take(new File([await response.blob()], name, { type: "image/jpeg" }), new URL(path, document.baseURI).href);
}

const firstFile = (transfer) => transfer?.files?.[0];

function pickFile(event) {
  const [file] = event.target.files;
  if (file) take(file);
  event.target.value = ""; // the same file may be picked again after it was changed
}

/** Text goes where the cursor is, even if whoever copied it sends a picture of it along. */
function paste(event) {
  const file = firstFile(event.clipboardData);
  const isText = event.target.matches?.("textarea, input") && event.clipboardData.getData("text/plain");
  if (!file || isText) return;
  event.preventDefault();
  take(file);
}

function listen() {
  const stage = find("stage");
  find("file").addEventListener("change", pickFile);
  for (const button of document.querySelectorAll("[data-sample]")) {
    button.addEventListener("click", () => takeSample(button.dataset.sample));
  }
  document.addEventListener("paste", paste);
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    stage.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget || stage.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    stage.classList.remove("over");
    const file = firstFile(event.dataTransfer);
    if (file) take(file);
  });
  find("show-grid").addEventListener("change", (event) => stage.classList.toggle("gridless", !event.target.checked));
  onModel(describe);
}

listen();
