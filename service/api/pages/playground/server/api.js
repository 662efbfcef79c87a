// Talking to the server: one request, its stream of events, and every way it can fail as one kind of error.
// Knows HTTP, server-sent events and problem+json; knows nothing of what is asked or how it is shown.

import { keyHeaders } from "./key.js";

/** A failure that can be shown: `status` is 0 if there was no answer at all, `explained` if the detail is the service's. */
export class Problem extends Error {
  constructor({ status, title, detail, retryAfterS = null, explained = true }) {
    super(`${title}: ${detail}`);
    Object.assign(this, { status, title, detail, retryAfterS, explained });
  }
}

const UNREACHABLE = {
  status: 0,
  title: "The server cannot be reached",
  detail: "Nothing answered. Is the service still running, and is this page's address still right?",
};
const BROKEN = {
  status: 0,
  title: "The connection broke",
  detail: "The answer stopped before its end. What came until then is kept.",
};

async function fetched(path, options) {
  try {
    return await fetch(path, { ...options, headers: { ...options.headers, ...keyHeaders() } });
  } catch (error) {
    throw error.name === "AbortError" ? error : new Problem(UNREACHABLE);
  }
}

async function problemOf(response) {
  const retryAfter = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  const retryAfterS = Number.isFinite(retryAfter) ? retryAfter : null;
  const said = await response.json().catch(() => ({}));
  return new Problem({
    status: response.status,
    title: said.title ?? `The server answered ${response.status}`,
    detail: said.detail ?? "It did not say why; something between this page and the service may have answered.",
    retryAfterS,
    explained: Boolean(said.detail),
  });
}

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
  const response = await fetched("v1/images", { method: "POST", body: form });
  if (!response.ok) throw await problemOf(response);
  return response.json();
}

/**
 * POST a form and yield the events of the answer as they come, the last of them with `completed`.
 * Fails with a `Problem`, or with an AbortError when `signal` says so.
 */
export async function* stream(path, form, signal) {
  const response = await fetched(path, { method: "POST", body: form, signal });
  if (!response.ok) throw await problemOf(response);
  for await (const event of events(response.body)) {
    if (event.error) throw new Problem(event.error);
    yield event;
    if (event.completed) return;
  }
  throw new Problem(BROKEN);
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await next(reader);
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        if (line.startsWith("data: ")) yield JSON.parse(line.slice(6)); // the rest are comments that keep it alive
      }
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
