// When the output of a run came: what `/live/runs/RUN/times` says, as events in order.

// Returns [{ at, end, size }]: by `at` milliseconds the output up to the offset `end`
// had come; where `size` is there, the terminal has it from then on.
export function readTimes(text) {
  const events = [];
  let at = 0, end = 0, began;
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const words = line.split(" ");
    if (words[0] === "agent-times") {
      if (words[1] !== "1") throw new Error(`the times have version ${words[1]}, which this page does not know`);
      const since = Number(words[3]);
      began ??= since;
      at = Math.max(at, since - began);
      end = Number(words[2]);
      events.push({ at, end, size: readSize(words[4]) });
      continue;
    }
    at += Number(words[0]);
    if (words[1].startsWith("=")) {
      events.push({ at, end, size: readSize(words[1].slice(1)) });
    } else {
      end += Number(words[1]);
      events.push({ at, end });
    }
  }
  return events;
}

function readSize(text) {
  const [columns, rows] = text.split("x").map(Number);
  return { columns, rows };
}

// The time on a clock that runs no longer than `longest` through a pause; both ways.
export class Clock {
  #longest;
  #pauses = [];

  constructor(events, longest) {
    this.#longest = longest;
    let before = 0, skipped = 0;
    for (const { at } of events) {
      if (at - before > longest) {
        this.#pauses.push({ from: before + longest, to: at, skipped });
        skipped += at - before - longest;
      }
      before = at;
    }
    this.skipped = skipped;
  }

  // The time in the run at which a clock without pauses shows `time`.
  inRun(time) {
    let skipped = 0;
    for (const pause of this.#pauses) {
      if (time < pause.from - pause.skipped) break;
      skipped = pause.skipped + (pause.to - pause.from);
    }
    return time + skipped;
  }

  // The reverse.
  shown(inRun) {
    let skipped = 0;
    for (const pause of this.#pauses) {
      if (inRun < pause.from) break;
      skipped = pause.skipped + (Math.min(inRun, pause.to) - pause.from);
    }
    return inRun - skipped;
  }
}
