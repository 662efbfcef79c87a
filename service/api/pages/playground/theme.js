// Light or dark: what the visitor chose here before, else what the system says. A plain script in the head, so that
// the page never shows the wrong colours first. Knows nothing of the rest of the page.
"use strict";

(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");

  const stored = () => {
    try {
      return localStorage.getItem("pheye-theme");
    } catch {
      return null; // storage may be forbidden; then a choice lasts as long as the page
    }
  };

  const isDark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";

  const show = () => document.getElementById("theme-button")?.setAttribute("aria-pressed", String(isDark()));

  const toggle = () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try {
      localStorage.setItem("pheye-theme", root.dataset.theme);
    } catch {
      // as above
    }
    show();
  };

  if (["light", "dark"].includes(stored())) root.dataset.theme = stored();
  system.addEventListener("change", show);
  document.addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme-button").addEventListener("click", toggle);
    show();
  });
})();
