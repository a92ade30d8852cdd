// The page that plays a run: its output, at the times at which it came.

import "./replay.css";
import { at } from "./address.js";
import { createScreen } from "./screen.js";
import { Clock, readTimes } from "./times.js";

// How much of the output is asked for at once, in bytes.
const PIECE = 1 << 20;
// With pauses skipped, none takes longer than this, in milliseconds.
const LONGEST_PAUSE = 1000;

const { run } = document.documentElement.dataset;
const byId = id => document.getElementById(id);
const [play, place, time, speed, skip] = ["play", "place", "time", "speed", "skip"].map(byId);
const { terminal } = createScreen(byId("screen"));
terminal.options.disableStdin = true;

async function get(path, headers = {}) {
  const answer = await fetch(at(path), { headers });
  if (!answer.ok) throw new Error((await answer.text()).trim() || `${path} answers ${answer.status}`);
  return answer;
}

// The output, of which one piece is in memory.
const output = {
  from: 0,
  bytes: new Uint8Array(),
  // Bytes from an offset on: to `end`, or fewer.
  async read(offset, end) {
    if (offset < this.from || offset >= this.from + this.bytes.length) {
      const answer = await get(`live/runs/${run}`, { range: `bytes=${offset}-${offset + PIECE - 1}` });
      this.bytes = new Uint8Array(await answer.arrayBuffer());
      this.from = offset;
      if (this.bytes.length === 0) throw new Error("the output is shorter than its times say");
    }
    return this.bytes.subarray(offset - this.from, Math.min(end - this.from, this.bytes.length));
  },
};

let events, clock, total, length;
// What is drawn: so many events, and the output up to this offset.
let drawn = 0, offset = 0;
// The time in the run, and when the page has last looked at its clock.
let now = 0, looked;

const minutes = milliseconds => {
  const seconds = Math.floor(milliseconds / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
};

function useClock() {
  clock = new Clock(events, skip.checked ? LONGEST_PAUSE : Infinity);
  length = clock.shown(total);
  place.max = length;
  show();
}

function show() {
  const shown = clock.shown(now);
  place.value = shown;
  time.textContent = `${minutes(shown)} of ${minutes(length)}`;
  place.setAttribute("aria-valuetext", time.textContent);
}

const write = bytes => new Promise(done => { terminal.write(bytes, done); });

// Draws what came until `now`; again from the beginning, where that is before what is
// drawn.
async function draw() {
  if (drawn > 0 && events[drawn - 1].at > now) {
    terminal.reset();
    drawn = 0;
    offset = events[0].end;
  }
  while (drawn < events.length && events[drawn].at <= now) {
    const { end, size } = events[drawn];
    while (offset < end) {
      const bytes = await output.read(offset, end);
      await write(bytes);
      offset += bytes.length;
    }
    if (size) terminal.resize(size.columns, size.rows);
    drawn += 1;
  }
}

// One drawing at a time; whoever moves meanwhile moves `now`.
let drawing;
function update() {
  drawing ??= draw().catch(fail).finally(() => { drawing = undefined; });
  return drawing;
}

const isPlaying = () => play.getAttribute("aria-pressed") === "true";

function setPlaying(on) {
  play.setAttribute("aria-pressed", on);
  play.textContent = on ? "Pause" : "Play";
  byId("state").textContent = on ? "playing" : now >= total ? "at its end" : "paused";
  looked = undefined;
  if (on) requestAnimationFrame(tick);
}

async function tick(moment) {
  if (!isPlaying()) return;
  const passed = looked === undefined ? 0 : (moment - looked) * Number(speed.value);
  looked = moment;
  now = Math.min(total, clock.inRun(clock.shown(now) + passed));
  await update();
  show();
  if (now >= total) setPlaying(false);
  else requestAnimationFrame(tick);
}

async function seek(shown) {
  now = Math.min(total, Math.max(0, clock.inRun(shown)));
  show();
  await update();
  // What was asked for while it was drawn.
  await update();
  if (!isPlaying()) setPlaying(false);
}

function toggle() {
  if (!isPlaying() && now >= total) now = 0;
  setPlaying(!isPlaying());
}

function fail(error) {
  byId("notice").textContent = error.message;
  byId("state").textContent = "";
  setPlaying(false);
}

play.addEventListener("click", toggle);
place.addEventListener("input", () => seek(Number(place.value)));
skip.addEventListener("change", useClock);
addEventListener("keydown", event => {
  if (event.key !== " " || ["BUTTON", "INPUT", "SELECT"].includes(event.target.tagName)) return;
  event.preventDefault();
  toggle();
});

// What came after the last line, when the agent was killed, came with it.
async function addRest() {
  const { headers } = await fetch(at(`live/runs/${run}`), { method: "HEAD" });
  const last = events.at(-1);
  const end = Number(headers.get("agent-end-offset"));
  if (end > last.end) events.push({ at: last.at, end });
}

async function load() {
  events = readTimes(await (await get(`live/runs/${run}/times`)).text());
  await addRest();
  total = events.at(-1).at;
  offset = events[0].end;
  useClock();
  await seek(0);
}

await load().catch(fail);
// For tests, and for people at the console of the browser.
Object.assign(window, { terminal, seek, toggle });
