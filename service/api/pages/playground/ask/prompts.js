// The words the native routes put in front of the model, for code that speaks to it through the chat route instead.
// The same as in model/prompt.py; a test compares them.

export const CAPTIONS = {
  "short": "Provide a one-sentence caption for the provided image",
  "normal": "Describe the provided image",
  "long": "Generate a highly detailed description for the provided image using multiple sentences",
  "scene_text": "Generate a one-sentence caption for the provided image, incorporating textual elements visible in the image."
};

export const ANSWERS = {
  "short": "Answer the question using a single word or phrase",
  "choice": "Answer with the option's letter from the given choices directly."
};

/** The instruction for each of a request's texts. */
export function instructions({ kind, titles, style, choices }) {
  if (kind) return [CAPTIONS[kind]];
  const options = (choices ?? []).map((choice, index) => `${String.fromCharCode(65 + index)}. ${choice}`);
  return titles.map((question) => [question, ...options, ANSWERS[style]].filter((line) => line !== undefined).join("\n"));
}
