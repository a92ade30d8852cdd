// The bytes of keys, as xterm sends them. Text that is composed, and letters without
// modifiers, come from the terminal's own text field.

const ESC = "\x1b";

// key: [final, number]: CSI 1 ; modifiers final, or CSI number ; modifiers ~
const cursor = { ArrowUp: "A", ArrowDown: "B", ArrowRight: "C", ArrowLeft: "D", Home: "H", End: "F" };
const function4 = { F1: "P", F2: "Q", F3: "R", F4: "S" };
const tilde = {
  Insert: 2, Delete: 3, PageUp: 5, PageDown: 6,
  F5: 15, F6: 17, F7: 18, F8: 19, F9: 20, F10: 21, F11: 23, F12: 24,
};
// What Ctrl makes of a character that is not a letter.
const control = { " ": 0, "@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31, "/": 31, "?": 127 };

function sequence(key, modifiers, applicationCursor) {
  const code = 1 + modifiers;
  if (cursor[key]) {
    const plain = ESC + (applicationCursor ? "O" : "[") + cursor[key];
    return modifiers ? `${ESC}[1;${code}${cursor[key]}` : plain;
  }
  if (function4[key]) return modifiers ? `${ESC}[1;${code}${function4[key]}` : `${ESC}O${function4[key]}`;
  if (tilde[key]) return modifiers ? `${ESC}[${tilde[key]};${code}~` : `${ESC}[${tilde[key]}~`;
}

function edited(key, { shift, alt, ctrl }) {
  const meta = alt ? ESC : "";
  if (key === "Enter") return shift ? `${ESC}\r` : `${meta}\r`;
  if (key === "Tab") return shift ? `${ESC}[Z` : `${meta}\t`;
  if (key === "Escape") return meta + ESC;
  if (key === "Backspace") return meta + (ctrl ? "\b" : "\x7f");
}

export function withControl(character) {
  const upper = character.toUpperCase();
  if (upper >= "A" && upper <= "Z") return String.fromCharCode(upper.charCodeAt(0) - 64);
  const code = control[character];
  return code === undefined ? undefined : String.fromCharCode(code);
}

// Whether a modifier has made the character: AltGr, which some systems report as Ctrl+Alt.
function isThirdLevel(event) {
  if (event.getModifierState("AltGraph")) return true;
  return event.ctrlKey && event.altKey && !/^[a-z0-9 ]$/i.test(event.key);
}

// What a key press means, undefined where the text field or the browser sees to it.
export function keysOf(event, applicationCursor) {
  const { key, shiftKey: shift, altKey: alt, ctrlKey: ctrl, metaKey: meta } = event;
  if (event.isComposing || event.keyCode === 229 || key === "Dead" || meta) return;
  const modifiers = (shift ? 1 : 0) + (alt ? 2 : 0) + (ctrl ? 4 : 0);
  const named = edited(key, { shift, alt, ctrl }) ?? sequence(key, modifiers, applicationCursor);
  if (named !== undefined) return named;
  if ([...key].length !== 1) return;
  if (isThirdLevel(event)) return key;
  if (ctrl) {
    const code = withControl(key);
    return code === undefined ? undefined : (alt ? ESC : "") + code;
  }
  if (alt) return ESC + key;
}
