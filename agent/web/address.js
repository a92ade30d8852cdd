// Where the agent answers: below the page's base, and with the page's own query, in
// which a coordinator finds the machine.

const base = new URL(document.documentElement.dataset.base, location.href);

export function at(path, query = {}) {
  const url = new URL(path, base);
  url.search = location.search;
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  return url;
}
