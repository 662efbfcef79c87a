// The last event of a stream, made whole: every field that the page shows, of the kind that it shows it.
// Plain data in, plain data out, one text, reason and so on for each question; what cannot be shown is left out.

import { list, number, object, share, text, texts } from "../server/said.js";

const PHASES = ["queue", "preprocess", "encode", "prefill", "decode", "total"];
const MOST_SIDE = 256; // of a heat map
const MOST_WORDS = 4096;

/** `count`: how many texts were asked for. */
export function readEnd(event, count) {
  const said = object(event);
  const usage = object(said.usage);
  const each = (plural, singular, read) => Array.from({ length: count }, (_, index) => read((Array.isArray(plural) ? plural : [singular])[index]));
  return {
    model: text(said.model),
    reasons: each(said.finish_reasons, said.finish_reason, (value) => text(value)),
    confidences: each(said.confidences, said.confidence, (value) => (Number.isFinite(value) ? Math.min(value, 0) : null)),
    choices: each(said.choices_by_question, said.choices, (value) => list(value).map(choice)),
    explanations: each(said.explanations, said.explanation, explanation),
    image: said.image ? file(object(said.image)) : null,
    warnings: texts(said.warnings),
    usage: {
      tiles: number(usage.image_tiles),
      cached: usage.image_features_cached === true,
      tokens: number(usage.completion_tokens),
      imageTokens: number(usage.image_tokens),
    },
    timings: Object.fromEntries(PHASES.map((phase) => [phase, number(object(said.timings)[phase])])),
  };
}

function choice(value) {
  const { letter, text: words, probability } = object(value);
  return { letter: text(letter), text: text(words), probability: share(probability) };
}

function file({ format, width, height, frames, has_transparency: clear }) {
  return { format: text(format), width: number(width), height: number(height), frames: number(frames, 1), clear: clear === true };
}

/** What an answer looked at, or null; words that have no place or no map are left out. */
function explanation(value) {
  const { heat_map: map, words, layers } = object(value);
  if (!isMap(map)) return null;
  const known = list(words, MOST_WORDS).map(object).filter(({ start, end, heat_map }) => start >= 0 && end >= start && isMap(heat_map));
  return {
    map,
    words: known.map(({ start, end, heat_map }) => ({ start, end, map: heat_map })),
    layers: list(layers).map(object).map((layer) => ({ layer: number(layer.layer), share: share(layer.global_share) })),
  };
}

const isMap = (rows) =>
  isList(rows) && rows.every((row) => isList(row) && row.length === rows[0].length && row.every(Number.isFinite));

const isList = (value) => Array.isArray(value) && value.length > 0 && value.length <= MOST_SIDE;
