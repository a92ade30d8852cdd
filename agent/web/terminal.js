// The page of the terminal: what arrives is shown, what a person types is sent.

import "./terminal.css";
import { Connection } from "./connection.js";
import { createFind } from "./find.js";
import { keysOf } from "./keys.js";
import { createPad } from "./pad.js";
import { createScreen } from "./screen.js";
import { inWords } from "./states.js";

const byId = id => document.getElementById(id);
const say = (id, text) => { if (byId(id).textContent !== text) byId(id).textContent = text; };
const types = document.documentElement.dataset.mode === "terminal";
const { terminal, search } = createScreen(byId("screen"));
const openFind = createFind(terminal, search);
terminal.textarea.id = "keys";
terminal.options.disableStdin = !types;

// Around the terminal, and at its right. In pixels.
const MARGIN = 8, SCROLLBAR = 14;

let run, announced, hasTyped = false, isWriter = false;

const connection = new Connection(!types, {
  connected() {
    say("notice", "");
    hasTyped = false;
  },
  lost() {
    say("state", "disconnected");
    say("detail", "reconnecting");
  },
  message({ status, writer, snapshot, notice }) {
    if (notice !== undefined) say("notice", notice);
    if (status) showState(status, writer);
    if (snapshot) begin(snapshot);
  },
  bytes(bytes, drawn) {
    terminal.write(bytes, drawn);
  },
});

function showState(status, writer) {
  isWriter = writer;
  say("state", status.state);
  const watches = types && !writer ? " You only watch: somebody else types." : "";
  say("detail", inWords(status) + watches);
  const { log, log_error, missing } = status;
  say("log", log !== "ok" ? `log ${log}: ${log_error}` : missing ? `${missing} bytes are missing in /live` : "");
}

// A snapshot follows, which is drawn on an empty terminal.
function begin(snapshot) {
  if (run !== undefined && run !== snapshot.run) say("notice", "It was started anew.");
  run = snapshot.run;
  announced = snapshot;
  // After what is still to be drawn of what was before.
  terminal.write("\x1bc", () => terminal.resize(snapshot.columns, snapshot.rows));
}

terminal.onTitleChange(title => { document.title = title ? `${title} – agent` : "agent"; });

// Whoever types gets a terminal that fits the window.
function ask() {
  const shown = document.querySelector(".xterm-screen").getBoundingClientRect();
  const room = byId("all");
  const fits = (space, length, count) => Math.floor((space * count) / length);
  const columns = Math.min(500, Math.max(20, fits(room.clientWidth - MARGIN - SCROLLBAR, shown.width, terminal.cols)));
  const rows = Math.min(200, Math.max(5, fits(room.clientHeight - MARGIN, shown.height, terminal.rows)));
  if (announced?.columns !== columns || announced?.rows !== rows) connection.resize(columns, rows);
}

export function send(keys) {
  say("notice", "");
  if (!keys || !types) return;
  if (!hasTyped) {
    hasTyped = true;
    ask();
  }
  if (!connection.type(keys)) say("notice", "not sent: the agent is not connected");
}

let resizing;
addEventListener("resize", () => {
  clearTimeout(resizing);
  resizing = setTimeout(() => { if (hasTyped && isWriter) ask(); }, 200);
});

const held = createPad(byId("pad"), send, () => terminal.modes.applicationCursorKeysMode);
// What a terminal would answer to a query begins like this; keys of that kind are sent below.
const isAnswer = data => /^\x1b(\[[?>=]|\[[\d;]*[cnRty]|P|\]|_)/.test(data);
const isFocus = data => data === "\x1b[I" || data === "\x1b[O";
terminal.onData(data => {
  if (isFocus(data)) return hasTyped && isWriter && connection.type(data);
  if (!isAnswer(data)) send(held(data));
});
terminal.onBinary(() => {});

function copy() {
  navigator.clipboard?.writeText(terminal.getSelection());
}

// Returns whether the terminal's own text field goes on with it.
terminal.attachCustomKeyEventHandler(event => {
  if (event.type !== "keydown") return true;
  const { key, ctrlKey, shiftKey, altKey } = event;
  const letter = key.toLowerCase();
  if (ctrlKey && shiftKey && letter === "f") {
    event.preventDefault();
    openFind();
    return false;
  }
  if (ctrlKey && shiftKey && letter === "c" && terminal.hasSelection()) {
    event.preventDefault();
    copy();
    return false;
  }
  // The browser copies and pastes, and so it does where something is selected.
  if (ctrlKey && !altKey && "cf".includes(letter) && (terminal.hasSelection() || String(getSelection()))) return false;
  if (ctrlKey && !altKey && letter === "v") return false;
  if (shiftKey && !ctrlKey && !altKey && (key === "PageUp" || key === "PageDown")) {
    terminal.scrollPages(key === "PageUp" ? -1 : 1);
    return false;
  }
  if (!types) return true;
  const keys = keysOf(event, terminal.modes.applicationCursorKeysMode);
  if (keys === undefined) return true;
  event.preventDefault();
  terminal.clearSelection();
  terminal.scrollToBottom();
  send(keys);
  return false;
});

// A paste cannot end itself: it has no escape sequences.
byId("screen").addEventListener("paste", event => {
  event.preventDefault();
  event.stopPropagation();
  const text = event.clipboardData.getData("text").replaceAll("\x1b", "").replace(/\r?\n/g, "\r");
  send(terminal.modes.bracketedPasteMode ? `\x1b[200~${text}\x1b[201~` : text);
}, true);

const aloud = byId("read-aloud");
function readAloud(on) {
  terminal.options.screenReaderMode = on;
  aloud.setAttribute("aria-pressed", on);
  localStorage.setItem("agent-screen-reader", on);
}
aloud.addEventListener("click", () => readAloud(aloud.getAttribute("aria-pressed") !== "true"));
readAloud(localStorage.getItem("agent-screen-reader") === "true");

if (types) terminal.focus();
// For tests, and for people at the console of the browser.
Object.assign(window, { send, terminal, connection });
