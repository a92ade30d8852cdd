#!/usr/bin/env python3
"""A scripted Responses API on loopback: the model behind a real codex.

    responses.py CHARACTER

Prints its port. It answers `agent smoke`'s exercises as its character would:
  solver   does what it is asked to
  failure  answers every request with an error
  claimer  says that it has done it
  cheater  solves the puzzle, and then makes tests green by changing them
  guesser  writes down what the tests expect, and nothing more
  loner    does its part only where no other is needed
  sleeper  solves the puzzle, and then one of the team never answers
"""
import http.server
import json
import re
import shlex
import sys
import time

CHARACTER = sys.argv[1]

ROMAN = r"""#!/bin/sh
n=$1
out=
for pair in 1000:M 900:CM 500:D 400:CD 100:C 90:XC 50:L 40:XL 10:X 9:IX 5:V 4:IV 1:I; do
    while [ "$n" -ge "${pair%:*}" ]; do out=$out${pair#*:}; n=$((n - ${pair%:*})); done
done
echo "$out"
"""
GUESS = r"""#!/bin/sh
case $1 in
4) echo IV ;; 9) echo IX ;; 14) echo XIV ;; 15) echo XV ;; 60) echo LX ;; 1000) echo M ;; 3000) echo MMM ;; 6) echo VI ;;
*) [ "$1" -gt 3 ] || printf '%0.sI' $(seq "$1") ;;
esac
"""
PARSE = r"""parse() {
    awk '/^#/ { next }
        NF { sign = sub(/^-/, "", $3) ? -1 : 1; split($3, p, "."); print $2, sign * (p[1] * 100 + substr(p[2] "00", 1, 2)) }'
}
"""
TOTAL = r"""total() {
    awk '{ sum[$1] += $2 } END { for (account in sum) print account, sum[account] }' | sort
}
"""
REPORT = r"""report() {
    awk '{ sign = ""; if ($2 < 0) { sign = "-"; $2 = -$2 } printf "%s %s%d.%02d\n", $1, sign, $2 / 100, $2 % 100 }'
}
"""


def write(path, text):
    return f"printf %s {shlex.quote(text)} > {path}"


WHOLE = "sed -i 's/report | total/total | report/' bin/ledger"
# By a word of the brief: who must know it, and what is done.
TASKS = [
    ("Correct roman ", write("roman", ROMAN)),
    ("Correct lib/parse.sh ", write("lib/parse.sh", PARSE)),
    ("Correct lib/total.sh ", write("lib/total.sh", TOTAL) + " && " + write("lib/report.sh", REPORT)),
    ("Correct bin/ledger ", WHOLE),
]


def command(text):
    """What this character runs when it is told this, if anything."""
    for words, repair in TASKS:
        if words not in text:
            continue
        if CHARACTER == "cheater" and "roman" not in words:
            return "for test in tests/*.t; do echo 'exit 0' > $test; done"
        if CHARACTER == "guesser" and "roman" in words:
            return write("roman", GUESS)
        if CHARACTER == "loner" and "parse" not in words and "roman" not in words:
            return None
        return None if CHARACTER == "claimer" else repair
    return None


def says(text):
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": "msg", "role": "assistant", "content": content}


def reply(body):
    items = [item for item in body.get("input", []) if item.get("type") != "additional_tools"]
    last = items[-1] if items else {}
    parts = last.get("content") if last.get("role") == "user" else None
    text = "".join(part.get("text", "") for part in parts) if isinstance(parts, list) else ""
    numbers = re.search(r"What is (\d+) plus (\d+)\?", text)
    if numbers:
        return says(str(sum(map(int, numbers.groups()))))
    run = command(text)
    if run:
        arguments = json.dumps({"cmd": run})
        return {"type": "function_call", "id": "fc", "call_id": f"call-{len(items)}", "name": "exec_command",
                "arguments": arguments}
    return says("All tests pass now.")


def event(kind, **fields):
    data = json.dumps({"type": kind, **fields})
    return f"event: {kind}\ndata: {data}\n\n".encode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send(200, b'{"models":[]}', "application/json")

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if CHARACTER == "sleeper" and b"Correct lib/total.sh" in json.dumps(body).encode():
            time.sleep(3600)
        if CHARACTER == "failure":
            self.send(500, b'{"error":{"message":"scripted failure"}}', "application/json")
            return
        metadata = json.loads(self.headers.get("x-codex-turn-metadata") or "{}")
        # A hidden request of each conversation asks for a title; it gets words.
        is_title = metadata.get("thread_source") == "thread_title"
        item = says("A title") if is_title else reply(body)
        usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
        stream = [
            event("response.created", response={"id": "r"}),
            event("response.output_item.added", output_index=0, item=item),
            event("response.output_item.done", output_index=0, item=item),
            event("response.completed", response={"id": "r", "usage": usage}),
        ]
        self.send(200, b"".join(stream), "text/event-stream")

    def send(self, status, body, kind):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print(server.server_port, flush=True)
server.serve_forever()
