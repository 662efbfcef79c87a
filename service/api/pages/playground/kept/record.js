// From an answer's card to plain data that can be kept or downloaded, and the part of it that a card is made of again.
// Pixels stay out but for a small picture; so do heat maps, which are large, and the API key, which no request holds.

import { isObject, list, object } from "../server/said.js";

const MOST_MS = 8.64e15; // of a date
const IMAGE = ["name", "type", "sample", "id", "address", "width", "height", "thumb"];
const REQUEST = ["path", "key", "titles", "fields", "settings", "kind", "style", "choices", "filled"];

const only = (names, object) =>
  Object.fromEntries(names.filter((name) => object[name] !== undefined).map((name) => [name, object[name]]));

/** `end` is the last event of the stream, or null if it was cancelled before. */
export function recordOf(id, { request, texts }, end) {
  const { explanation: _, explanations: __, ...rest } = end ?? {};
  return {
    id,
    at: Date.now(),
    request: { ...only(REQUEST, request), image: only(IMAGE, request.image) },
    texts,
    end: end && rest,
  };
}

/** Whether a record can be shown and asked again, whoever wrote it. */
export function isRecord(each) {
  const { id, at, request, texts } = object(each);
  const { image, titles, fields, filled, path, settings } = object(request);
  const { name, type = "", sample, thumb = "" } = object(image);
  const strings = [id, name, type, sample ?? "", thumb, path, settings, ...list(titles), ...list(texts)];
  const known = strings.every((value) => typeof value === "string") && Number.isFinite(at) && Math.abs(at) < MOST_MS;
  const lists = [titles, texts, fields].every(Array.isArray) && titles.length > 0;
  return known && lists && fields.every(Array.isArray) && isObject(filled) && Array.isArray(filled.questions) && isPicture(thumb);
}

const isPicture = (url) => !url || url.startsWith("data:image/");

/** The request of a record, whose image is a file no more. */
export function requestOf({ request }) {
  const image = { type: "", url: "", notes: [], refused: "", file: null, ...request.image };
  return { ...request, image };
}
