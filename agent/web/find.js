// Search in what the terminal shows and has shown.

const byId = id => document.getElementById(id);
const decorations = { matchOverviewRuler: "#d7a63a", activeMatchColorOverviewRuler: "#e05555", matchBackground: "#d7a63a", activeMatchBackground: "#e05555" };

export function createFind(terminal, search) {
  const form = byId("find-template").content.firstElementChild;
  const part = id => form.querySelector(`#${id}`);
  const field = part("find-text");
  const next = () => search.findNext(field.value, { decorations });
  search.onDidChangeResults(({ resultIndex, resultCount }) => {
    part("found").textContent = resultCount ? `${resultIndex + 1} of ${resultCount}` : field.value ? "not found" : "";
  });
  const close = () => {
    form.remove();
    search.clearDecorations();
    terminal.focus();
  };
  const open = () => {
    document.querySelector("header").after(form);
    field.value = terminal.getSelection().split("\n")[0] || field.value;
    field.select();
    field.focus();
  };
  form.addEventListener("submit", event => { event.preventDefault(); next(); });
  field.addEventListener("input", () => search.findNext(field.value, { decorations, incremental: true }));
  part("find-previous").addEventListener("click", () => search.findPrevious(field.value, { decorations }));
  part("find-close").addEventListener("click", close);
  byId("find-open").addEventListener("click", open);
  form.addEventListener("keydown", event => { if (event.key === "Escape") close(); });
  return open;
}
