"use strict";
// Before the first paint: the colours chosen in this browser, or the system's own. Not a module, which would come late.

(() => {
  const KEY = "mm-daemon-theme";
  const system = matchMedia("(prefers-color-scheme: light)");
  let chosen = "";
  try {
    chosen = localStorage.getItem(KEY) ?? "";
  } catch {
    chosen = ""; // storage is forbidden here: the system's colours it is
  }
  const apply = () => {
    document.documentElement.dataset.theme = chosen || (system.matches ? "light" : "dark");
    document.dispatchEvent(new Event("theme"));
  };
  system.addEventListener("change", apply);
  apply();

  window.theme = {
    /** "dark", "light" or "" for the system's. */
    chosen: () => chosen,
    choose(name) {
      chosen = name;
      try {
        localStorage.setItem(KEY, name);
      } catch {
        // It holds until the page is closed, then.
      }
      apply();
    },
  };
})();
