#!/usr/bin/env python3
"""A scripted Responses API on loopback, so that a real codex works offline.

Prints its port. Answers each message with `done`. A message `edit FILE TEXT`
becomes a command that writes the file.
"""
import http.server
import json
import shlex
import sys


def event(kind, **fields):
    data = json.dumps({"type": kind, **fields})
    return f"event: {kind}\ndata: {data}\n\n".encode()


def said(body):
    """The last input, and the text of it if the user said it."""
    items = [item for item in body.get("input", []) if item.get("type") not in ("additional_tools",)]
    last = items[-1] if items else {}
    parts = last.get("content") if last.get("role") == "user" else None
    text = "".join(part.get("text", "") for part in parts) if isinstance(parts, list) else ""
    return last, text.strip()


def reply(body, source):
    _, text = said(body)
    if source == "user" and text.startswith("edit "):
        _, name, content = text.split(" ", 2)
        command = f"printf %s {shlex.quote(content)} > {shlex.quote(name)}"
        arguments = json.dumps({"cmd": command})
        return {"type": "function_call", "id": "fc", "call_id": f"call-{name}", "name": "exec_command",
                "arguments": arguments}
    content = [{"type": "output_text", "text": "done", "annotations": []}]
    return {"type": "message", "id": "msg", "role": "assistant", "content": content}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send(b'{"models":[]}', "application/json")

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        metadata = json.loads(self.headers.get("x-codex-turn-metadata") or "{}")
        item = reply(body, metadata.get("thread_source", "user"))
        usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
        stream = [
            event("response.created", response={"id": "r"}),
            event("response.output_item.added", output_index=0, item=item),
            event("response.output_item.done", output_index=0, item=item),
            event("response.completed", response={"id": "r", "usage": usage}),
        ]
        self.send(b"".join(stream), "text/event-stream")

    def send(self, body, kind):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
try:
    server.serve_forever()
except KeyboardInterrupt:
    sys.exit(0)
