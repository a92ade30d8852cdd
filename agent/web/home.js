// The first page, kept up to date.

import { at } from "./address.js";
import { inWords } from "./states.js";

const byId = id => document.getElementById(id);
const say = (id, text) => { if (byId(id).textContent !== text) byId(id).textContent = text; };
const INTERVAL = 3000;
let run = document.documentElement.dataset.run;

function since() {
  const began = Number(run);
  if (!began) return "";
  const minutes = Math.floor((Date.now() - began) / 60_000);
  const days = Math.floor(minutes / 1440), hours = Math.floor(minutes / 60) % 24;
  return [[days, "d"], [hours, "h"], [minutes % 60, "min"]].filter(([count], at) => count || at === 2).map(([count, unit]) => `${count} ${unit}`).join(" ");
}

async function update() {
  try {
    const answer = await fetch(at("status"), { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.statusText);
    const status = await answer.json();
    const restarted = run && run !== status.run ? "It was started anew. " : "";
    if (restarted) location.reload();
    run = status.run;
    say("state", status.state);
    say("detail", restarted + inWords(status));
    say("run", run || "none");
    say("since", since());
  } catch {
    say("state", "disconnected");
    say("detail", "reconnecting");
  }
  setTimeout(update, INTERVAL);
}

update();
