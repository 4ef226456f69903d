// The light or dark theme: the system's, until the button chooses the other one. This is no module, since modules run
// after the page is drawn, and a chosen theme would flash.
{
  const key = "dragoman.theme";
  const system = matchMedia("(prefers-color-scheme: dark)");

  const stored = () => {
    try {
      return localStorage.getItem(key);
    } catch {
      return null; // the browser blocks storage
    }
  };

  const store = (theme) => {
    try {
      if (theme) localStorage.setItem(key, theme);
      else localStorage.removeItem(key);
    } catch {
      // The theme lasts as long as the page.
    }
  };

  const systemTheme = () => (system.matches ? "dark" : "light");

  const apply = (theme) => {
    document.documentElement.dataset.theme = theme;
    document.getElementById("theme")?.setAttribute("aria-pressed", theme === "dark");
  };

  // The scripts of the page cannot say that one of them is missing.
  const onError = ({ target }) => {
    const error = document.getElementById("error");
    if (target.tagName === "SCRIPT" && error) error.textContent = "The page was not loaded completely. Load it again.";
  };

  addEventListener("error", onError, true);
  apply(stored() ?? systemTheme());
  system.addEventListener("change", () => apply(stored() ?? systemTheme()));
  document.addEventListener("DOMContentLoaded", () => {
    const { dataset } = document.documentElement;
    apply(dataset.theme);
    document.getElementById("theme")?.addEventListener("click", () => {
      const theme = dataset.theme === "dark" ? "light" : "dark";
      store(theme === systemTheme() ? null : theme);
      apply(theme);
    });
  });
}
