// Kept answers as JSON and as CSV. Records in, text out.

import { readEnd } from "../answers/end.js";

const COLUMNS = ["time", "model", "image", "task", "question", "answer", "finish_reason", "confidence", "warnings"];

/** One row for each question of a record. */
function rows({ at, request, texts, end }) {
  const told = readEnd(end, request.titles.length);
  return request.titles.map((title, index) => ({
    time: new Date(at).toISOString(),
    model: told.model,
    image: request.image.name,
    task: request.kind ? `caption ${request.kind}` : "question",
    question: request.kind ? "" : title,
    answer: texts[index] ?? "",
    finish_reason: end ? told.reasons[index] : "cancelled",
    confidence: told.confidences[index] ?? "",
    warnings: told.warnings.join(" "),
  }));
}

/** As JSON: everything that the server told of each answer, oldest first. */
export function asJson(records) {
  const told = records.map((record) => {
    const { completed: _, ...end } = record.end ?? {};
    return { answers: rows(record), settings: record.request.settings, choices: record.request.choices, ...end };
  });
  return `${JSON.stringify(told.reverse(), null, 2)}\n`;
}

/** As CSV (RFC 4180) with a byte order mark, by which spreadsheets know UTF-8. */
export function asCsv(records) {
  const lines = [...records].reverse().flatMap(rows).map((row) => COLUMNS.map((name) => cell(row[name])).join(","));
  return `\ufeff${[COLUMNS.join(","), ...lines].join("\r\n")}\r\n`;
}

/** A text that a spreadsheet would take for a formula, such as one read off a sign, gets an apostrophe. */
function cell(value) {
  const text = String(value);
  const safe = typeof value === "string" && /^[=+@\t\r]|^-(?![\d.]+$)/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
