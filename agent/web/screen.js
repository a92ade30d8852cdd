// The terminal on the page. It only shows: nothing that the program puts out makes it
// answer, reach the clipboard or leave the page.

import { Terminal } from "@xterm/xterm";
import { SearchAddon } from "@xterm/addon-search";
import { UnicodeGraphemesAddon } from "@xterm/addon-unicode-graphemes";
import { WebLinksAddon } from "@xterm/addon-web-links";

const SCROLLBACK = 2000;
const dark = {
  background: "#111111", foreground: "#dddddd", cursor: "#ffffff", selectionBackground: "#3a5f8f",
  black: "#000000", red: "#e05555", green: "#55c055", yellow: "#d7a63a", blue: "#5c9cf5", magenta: "#c678c6", cyan: "#3fbfbf", white: "#cccccc",
  brightBlack: "#808080", brightRed: "#ff7b7b", brightGreen: "#7fe07f", brightYellow: "#ffd866", brightBlue: "#8ab8ff", brightMagenta: "#ff9cff", brightCyan: "#7fe8e8", brightWhite: "#ffffff",
};
const light = {
  background: "#ffffff", foreground: "#1c1c1c", cursor: "#000000", selectionBackground: "#b3d4fc",
  black: "#000000", red: "#b00020", green: "#1a7f1a", yellow: "#8a6100", blue: "#1a4fc0", magenta: "#8b2f8b", cyan: "#006d75", white: "#666666",
  brightBlack: "#555555", brightRed: "#c62828", brightGreen: "#2e7d32", brightYellow: "#795500", brightBlue: "#1565c0", brightMagenta: "#a0309c", brightCyan: "#00838f", brightWhite: "#333333",
};
const scheme = matchMedia("(prefers-color-scheme: dark)");
const theme = () => (scheme.matches ? dark : light);

// What a terminal would answer, or do to what is not the screen.
const queries = [
  { final: "c" }, { prefix: ">", final: "c" }, { prefix: "=", final: "c" },
  { final: "n" }, { prefix: "?", final: "n" }, { final: "t" }, { prefix: ">", final: "q" },
  { intermediates: "$", final: "p" }, { prefix: "?", intermediates: "$", final: "p" },
  { prefix: "?", final: "u" }, { prefix: ">", final: "u" }, { prefix: "<", final: "u" }, { prefix: "=", final: "u" },
];
const commands = [4, 5, 10, 11, 12, 104, 110, 111, 112, 52, 1337];
const requests = [{ intermediates: "$", final: "q" }, { intermediates: "+", final: "q" }];

function silence(terminal) {
  for (const id of queries) terminal.parser.registerCsiHandler(id, () => true);
  for (const number of commands) terminal.parser.registerOscHandler(number, () => true);
  for (const id of requests) terminal.parser.registerDcsHandler(id, () => true);
}

// The policy of the page accepts the style elements of the terminal by their nonce.
function giveNonce() {
  const { nonce } = document.documentElement.dataset;
  const create = document.createElement.bind(document);
  document.createElement = (name, options) => {
    const element = create(name, options);
    if (name === "style") element.nonce = nonce;
    return element;
  };
}

function open(event, address) {
  const url = new URL(address);
  if (url.protocol === "http:" || url.protocol === "https:") window.open(url, "_blank", "noopener,noreferrer");
}

export function createScreen(place) {
  giveNonce();
  const terminal = new Terminal({
    allowProposedApi: true, // The addon for graphemes and the marks of the search are proposed.
    cursorBlink: false, fontFamily: "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace", fontSize: 14,
    linkHandler: { activate: open, allowNonHttpProtocols: false },
    macOptionIsMeta: true, minimumContrastRatio: 4.5, scrollback: SCROLLBACK, theme: theme(),
  });
  const search = new SearchAddon();
  for (const addon of [search, new UnicodeGraphemesAddon(), new WebLinksAddon(open)]) terminal.loadAddon(addon);
  silence(terminal);
  terminal.open(place);
  scheme.addEventListener("change", () => { terminal.options.theme = theme(); });
  return { terminal, search };
}
