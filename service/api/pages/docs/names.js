// Gives what Swagger UI leaves unnamed a name for screen readers, and what scrolls a place in the order of Tab.
// Swagger UI draws anew all the time, so whatever appears is looked at; knows its class names and nothing of the document.

const titleOf = (field) => field.closest("tr")?.dataset.paramName ?? field.closest("section, .opblock")?.querySelector("h4")?.textContent;
const routeOf = (block) =>
  [".opblock-summary-method", "[data-path]"].map((part) => block.querySelector(part).textContent).join(" ");
const groupOf = (block) => block.closest(".opblock-tag-section").querySelector("[data-tag]").dataset.tag; // a route may be in two

function responsesOf(table) {
  const block = table.closest(".opblock");
  const kind = table.matches(".live-responses-table") ? "Response" : "Responses";
  return `${kind} of ${routeOf(block)}, ${groupOf(block)}`;
}

const NAMES = [
  ["select.examples-select-element", () => "Example"],
  ["select.content-type", () => "Content type"],
  ["select, input, textarea", (field) => titleOf(field) ?? "Value"],
  ["button:empty, .copy-to-clipboard button", () => "Copy"],
  ["table.responses-table", responsesOf],
];

function mend() {
  for (const [selector, name] of NAMES) {
    for (const each of document.querySelectorAll(`#swagger-ui :is(${selector})`)) {
      if (!each.labels?.length && !each.hasAttribute("aria-label")) each.setAttribute("aria-label", name(each));
    }
  }
  document.querySelectorAll("pre.microlight:not([tabindex])").forEach((block) => (block.tabIndex = 0));
  document.querySelectorAll("#swagger-ui :is(h3, h4, h5):not([aria-level])").forEach((heading) => {
    heading.setAttribute("aria-level", Number(heading.tagName[1]) - 1); // there is no second level above them
  });
  // A link inside of a button: pressing the button opens the same place, and writes it into the address.
  document.querySelectorAll("button.opblock-summary-control a[href]").forEach((link) => link.removeAttribute("href"));
}

new MutationObserver(mend).observe(document.getElementById("swagger-ui"), { childList: true, subtree: true });
mend();
