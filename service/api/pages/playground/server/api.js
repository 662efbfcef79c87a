// Talking to the server: one request, its stream of events, and every way it can fail as one kind of error.
// Knows HTTP, server-sent events and problem+json; knows nothing of what is asked or how it is shown.

import { keyHeaders } from "./key.js";
import { isObject, number, object, text } from "./said.js";

/** A failure that can be shown: `status` is 0 if no answer says it, `short` a few words, `explained`: the detail is the service's. */
export class Problem extends Error {
  constructor({ status = 0, title, detail, short = `answers ${status}`, retryAfterS = null, explained = true }) {
    super(`${title}: ${detail}`);
    Object.assign(this, { status, title, detail, short, retryAfterS, explained });
  }
}

const UNREACHABLE = {
  short: "unreachable",
  title: "The server cannot be reached",
  detail: "Nothing answered. Is the service still running, and is this page's address still right?",
};
const GONE = {
  title: "The image cannot be read any more",
  detail: "Its file was changed or removed after it was chosen. Choose it again.",
};
const BROKEN = {
  title: "The connection broke",
  detail: "The answer stopped before its end. What came until then is kept.",
};
const STRANGE = {
  short: "no Pheye here",
  title: "This is no answer of Pheye",
  detail: "What came cannot be read; something else may answer at this address, or another version of the service.",
};
const ENDLESS = {
  title: "The answer does not end",
  detail: "It is longer than this page can show, and was stopped. What came until then is kept.",
};
const MOST_CHARS = 1_000_000; // of the texts of one answer
const MOST_LINE_CHARS = 32_000_000; // of one event: the last one may carry heat maps
const MOST_WAIT_S = 600;
const UPLOAD_S = 60;

async function fetched(path, options) {
  try {
    return await fetch(path, { ...options, headers: { ...options.headers, ...keyHeaders() } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(options.body && !(await isReadable(options.body)) ? GONE : UNREACHABLE);
  }
}

/** Whether the files of a form are still what they were when they were chosen. */
async function isReadable(form) {
  const files = [...form.values()].filter((value) => value instanceof File);
  const read = await Promise.allSettled(files.map((file) => file.slice(0, 1).arrayBuffer()));
  return read.every(({ status }) => status === "fulfilled");
}

async function problemOf(response) {
  const retryAfter = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  const retryAfterS = Number.isFinite(retryAfter) ? Math.min(retryAfter, MOST_WAIT_S) : null;
  return told(await response.json().catch(() => null), response.status, retryAfterS);
}

/** A problem document, as far as it is one. */
function told(document, status, retryAfterS = null) {
  const said = object(document);
  return new Problem({
    status,
    title: text(said.title) || (status ? `The server answered ${status}` : "The server failed"),
    detail: text(said.detail) || "It did not say why; something between this page and the service may have answered.",
    retryAfterS,
    explained: Boolean(text(said.detail)),
  });
}

/** The JSON object that was answered; fails with a `Problem`. */
async function objectOf(response) {
  const said = await response.json().catch(() => null);
  if (!isObject(said)) throw new Problem(STRANGE);
  return said;
}

/** GET a JSON object; fails with a `Problem`. */
export const getObject = async (path) => objectOf(await get(path));

/** GET something; fails with a `Problem`. */
export async function get(path, timeoutS = 10) {
  const response = await fetched(path, { signal: AbortSignal.timeout(1000 * timeoutS), cache: "no-store" }).catch((error) => {
    throw error instanceof Problem ? error : new Problem(UNREACHABLE);
  });
  if (!response.ok) throw await problemOf(response);
  return response;
}

/** Give an image to the server, which keeps it for a while; fails with a `Problem`. */
export async function upload(file, name) {
  const form = new FormData();
  form.append("image", file, name);
  const response = await fetched("v1/images", { method: "POST", body: form, signal: AbortSignal.timeout(1000 * UPLOAD_S) });
  if (!response.ok) throw await problemOf(response);
  return objectOf(response);
}

/**
 * POST a form and yield the events of the answer as they come, the last of them with `completed`; `count` texts are asked for.
 * Fails with a `Problem`, or with an AbortError when `signal` says so.
 */
export async function* stream(path, form, signal, count) {
  const response = await fetched(path, { method: "POST", body: form, signal });
  if (!response.ok) throw await problemOf(response);
  if (!/^text\/event-stream\b/.test(response.headers.get("Content-Type") ?? "")) throw new Problem(STRANGE);
  let chars = 0;
  for await (const line of lines(response.body)) {
    const event = readEvent(line, count);
    yield event;
    if (event.completed) return;
    chars += event.chunk.length;
    if (chars > MOST_CHARS) throw new Problem(ENDLESS);
  }
  throw new Problem(BROKEN);
}

function readEvent(line, count) {
  let event = null;
  try {
    event = object(JSON.parse(line));
  } catch {
    throw new Problem(STRANGE);
  }
  if (event.error) throw told(event.error, number(object(event.error).status));
  if (event.completed === true) return event;
  const { chunk, index } = { ...event, index: event.index ?? 0 };
  if (typeof chunk !== "string" || !Number.isInteger(index) || index < 0 || index >= count) throw new Problem(STRANGE);
  return { chunk, index };
}

/** The data of each event; the rest are comments that keep the stream open. */
async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await next(reader);
      if (done) return;
      const whole = (rest + value).split("\n");
      rest = whole.pop();
      if (rest.length > MOST_LINE_CHARS) throw new Problem(ENDLESS);
      for (const line of whole) if (line.startsWith("data:")) yield line.slice(5);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

async function next(reader) {
  try {
    return await reader.read();
  } catch (error) {
    throw error.name === "AbortError" ? error : new Problem(BROKEN);
  }
}
