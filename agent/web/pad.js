// The keys that a phone lacks.

import { withControl } from "./keys.js";

const pad = [
  ["Esc", "\x1b", "Escape"], ["Tab", "\t", "Tab"], ["Ctrl", "", "Control, for the next key"],
  ["←", "D", "Left"], ["↑", "A", "Up"], ["↓", "B", "Down"], ["→", "C", "Right"],
  ["⌫", "\x7f", "Backspace"], ["Enter", "\r", "Enter"],
];

// send: of bytes; isApplication: whether arrows are sent as the program has asked for.
export function createPad(place, send, isApplication) {
  let control;
  const hold = on => control.setAttribute("aria-pressed", on);
  for (const [text, keys, name] of pad) {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: text, ariaLabel: name });
    // The keyboard of a phone stays open.
    button.addEventListener("pointerdown", event => event.preventDefault());
    button.addEventListener("click", () => {
      if (!keys) return hold(control.getAttribute("aria-pressed") !== "true");
      const isArrow = /^[A-D]$/.test(keys);
      const held = take();
      if (!isArrow) return send(keys);
      send(held ? `\x1b[1;5${keys}` : `\x1b${isApplication() ? "O" : "["}${keys}`);
    });
    if (!keys) control = button;
    place.append(button);
  }
  hold(false);
  const take = () => {
    const held = control.getAttribute("aria-pressed") === "true";
    hold(false);
    return held;
  };
  // The text that is to be sent for what was typed after Ctrl.
  return text => (take() ? withControl(text) ?? text : text);
}
