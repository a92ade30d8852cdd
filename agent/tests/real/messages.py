#!/usr/bin/env python3
"""Sends messages of many shapes, and compares with what codex has recorded."""
import json
import pathlib
import subprocess
import sys
import time

agent, url, work = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])

SHAPES = [
    "x", "hello world", "a" * 10_000, "b" * 60_000, "two\nlines", "crlf\r\nand\rcr", "tab\there",
    "emoji 👩‍👩‍👧 🎉", "rtl שלום عليكم", "한국어 日本語", "see @x", "use $x", "mid @x word", "# heading",
    "--help", "- list\n- of\n- things", "json {\"a\": [1, 2]}", "quote \" ' ` \\", "esc \x1b[31mred\x1b[0m",
    "out\x1b[201~\r\x03\x1a\x04in", "ends with space ", "  begins with space", "same", "same", "?", "1", "é",
    "long line " * 200, "$(touch bad)", "last",
]
EDITS = [(f"file{n}", f"content {n}") for n in range(6)]


def expected(text):
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    for gone in ["\x1b[31m", "\x1b[0m", "\x1b[201~", "\x03", "\x1a", "\x04"]:
        text = text.replace(gone, "")
    return text.strip()


def recorded():
    said = []
    for path in sorted((work / "home/sessions").rglob("*.jsonl")):
        for line in path.read_text().splitlines():
            item = json.loads(line)
            payload = item.get("payload", {})
            if item["type"] == "response_item" and payload.get("role") == "user":
                said.append("".join(part.get("text", "") for part in payload["content"]).strip())
    return said


def send(text):
    began = time.time()
    done = subprocess.run([agent, "message", url, "-"], input=text.encode(), capture_output=True)
    if done.returncode:
        sys.exit(f"{text[:60]!r}: {done.stdout.decode()}{done.stderr.decode()}")
    return json.loads(done.stdout)["evidence"], time.time() - began


def rest():
    """Waits until codex rests: a message that comes sooner cuts the turn before it."""
    deadline = time.time() + 20
    while time.time() < deadline:
        status = subprocess.run([agent, "status", url], capture_output=True, check=True).stdout
        if json.loads(status)["state"] == "idle":
            return
        time.sleep(0.05)
    sys.exit("codex does not come to rest")


evidence, slowest = {}, 0
for text in SHAPES + [f"edit {name} {content}" for name, content in EDITS]:
    if text.startswith("edit "):
        rest()
    found, took = send(text)
    evidence[found] = evidence.get(found, 0) + 1
    slowest = max(slowest, took)
    if found != "rollout":
        print(f"{text[:60]!r}: {found} only")
want = [expected(text) for text in SHAPES] + [f"edit {name} {content}" for name, content in EDITS]
deadline = time.time() + 20
while time.time() < deadline:
    got = [text for text in recorded() if text in want]
    made = [(work / "workspace" / name) for name, _ in EDITS]
    if got == want and all(path.exists() for path in made):
        break
    time.sleep(0.2)
assert got == want, [(a[:50], b[:50]) for a, b in zip(got + [""] * 9, want + [""] * 9) if a != b][:5]
for name, content in EDITS:
    assert (work / "workspace" / name).read_text() == content, name
print(f"{len(want)} messages, once and in order; evidence {evidence}; slowest {slowest:.2f} s")
