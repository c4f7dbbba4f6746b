// The theme that was chosen, before anything is drawn; and the switch. Without a choice it is the system's.
(() => {
  "use strict";
  const root = document.documentElement;
  const key = "muster-theme";
  const stored = () => {
    try { return localStorage.getItem(key); } catch { return null; }
  };
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const chosen = stored();
  if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (!button) return;
    const show = () => { button.textContent = isDark() ? "Light" : "Dark"; };
    button.hidden = false;
    button.setAttribute("aria-label", "Switch between light and dark");
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      try { localStorage.setItem(key, root.dataset.theme); } catch { /* Then it is for this page alone. */ }
      show();
    });
    system.addEventListener("change", show);
    show();
  });
})();
