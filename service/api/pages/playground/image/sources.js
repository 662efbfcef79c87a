// Where images come from: chosen, taken with the camera, dropped, pasted, a sample, or an address that the server fetches.

import { find } from "../dom.js";
import { onService, service } from "../server/service.js";
import { claim, retake, say, take, takeElsewhere } from "./picture.js";

const WRITABLE = "textarea, input:not([type=radio], [type=checkbox], [type=file])";
const NAMES = /\.(jpe?g|jfif|png|webp|gif|bmp|tiff?|avif|hei[cf]|svg|jxl|pdf)$/i;

/** Take one of the samples and give it, also where other images came meanwhile; null if the server did not send it. */
export async function takeSample(name, mine = claim()) {
  const path = `playground/samples/${name}`;
  const response = await fetch(path).catch(() => null);
  const blob = response?.ok ? await response.blob().catch(() => null) : null;
  if (blob) return take([new File([blob], name, { type: blob.type })], { sample: new URL(path, document.baseURI).href, mine });
  if (mine()) say("The sample cannot be loaded. Is the server still running?");
  return null;
}

/** Whether there is a sample of this name. */
export const isSample = (name) => [...document.querySelectorAll("[data-sample]")].some((each) => each.dataset.sample === name);

/** The sample that an address names, or nothing. */
export function sampleName(address) {
  const name = address?.split("/").pop();
  return isSample(name) ? name : "";
}

/** Of the given files those that may be images; the others are named. */
function takeFiles(list) {
  const files = [...list];
  const likely = files.filter(({ name, type }) => type.startsWith("image/") || !type || NAMES.test(name));
  if (likely.length) take(likely);
  const others = files.filter((file) => !likely.includes(file));
  if (others.length) say(`No image: ${others.map(({ name }) => name).join(", ")}.`);
}

/** Let the server fetch an image; false, and a word about it, if the text is no address. */
export function takeAddress(text, mine = claim()) {
  const address = URL.parse?.(text) ?? (URL.canParse(text) ? new URL(text) : null);
  if (!address || !/^https?:$/.test(address.protocol)) {
    say("Write the whole address of an image, as a browser shows it.");
    return false;
  }
  takeElsewhere({ address: address.href, name: decodeName(address) }, mine);
  return true;
}

function decodeName({ pathname, host }) {
  const last = pathname.split("/").pop();
  try {
    return decodeURIComponent(last) || host;
  } catch {
    return last;
  }
}

function pickFiles(event) {
  if (event.target.files.length) takeFiles(event.target.files);
  event.target.value = ""; // the same file may be picked again after it was changed
}

/** Text goes where the cursor is, even if whoever copied it sends a picture of it along. */
function paste(event) {
  const files = event.clipboardData?.files ?? [];
  const words = event.target.matches?.("textarea, input") && event.clipboardData.getData("text/plain");
  if (!files.length || words) return;
  event.preventDefault();
  takeFiles(files);
}

const hasFiles = ({ dataTransfer }) => Boolean(dataTransfer?.types.includes("Files"));

/** Words dragged to a field that takes some; the browser writes them there. */
const isText = (event) => !hasFiles(event) && event.target.matches?.(WRITABLE);

function listenToDrops(stage) {
  document.addEventListener("dragover", (event) => {
    if (isText(event)) return;
    event.preventDefault();
    stage.classList.toggle("over", hasFiles(event));
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget || stage.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    if (isText(event)) return;
    event.preventDefault();
    stage.classList.remove("over");
    if (event.dataTransfer?.files.length) takeFiles(event.dataTransfer.files);
  });
}

for (const id of ["file", "camera"]) find(id).addEventListener("change", pickFiles);
for (const button of document.querySelectorAll("[data-sample]")) {
  button.addEventListener("click", () => takeSample(button.dataset.sample));
}
find("address-form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (takeAddress(find("address").value.trim())) find("address").value = "";
});
document.addEventListener("paste", paste);
listenToDrops(find("stage"));
onService(() => {
  find("address-form").hidden = !service.urls;
  retake();
});
