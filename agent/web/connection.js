// The WebSocket to the agent: connects again and again, and tells what arrives.

import { at } from "./address.js";

const FIRST_WAIT = 500, LONGEST_WAIT = 10_000;
// The server accepts no longer message.
const PIECE = 1 << 20;

export class Connection {
  #socket;
  #wait = FIRST_WAIT;
  #handlers;
  #shown = 0;

  // handlers: connected(), lost(), message(object), bytes(array)
  constructor(watching, handlers) {
    this.#handlers = handlers;
    this.url = at("terminal", watching ? { format: "output-1", watch: "1" } : { format: "output-1" });
    this.url.protocol = this.url.protocol.replace("http", "ws");
    this.#connect();
  }

  #connect() {
    const socket = new WebSocket(this.url);
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.#shown = 0;
      this.#handlers.connected();
    };
    socket.onmessage = ({ data }) => {
      this.#wait = FIRST_WAIT;
      if (typeof data === "string") this.#handlers.message(JSON.parse(data));
      else this.#handlers.bytes(new Uint8Array(data), () => this.#drawn(socket, data.byteLength));
    };
    socket.onclose = () => {
      this.#handlers.lost();
      setTimeout(() => this.#connect(), this.#wait);
      this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
    };
  }

  // The server waits for those who draw slowly.
  #drawn(socket, length) {
    if (socket !== this.#socket) return;
    this.#shown += length;
    this.#tell({ shown: this.#shown });
  }

  #tell(message) {
    if (this.isOpen) this.#socket.send(JSON.stringify(message));
  }

  get isOpen() {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  close() {
    this.#socket.close();
  }

  resize(columns, rows) {
    this.#tell({ size: { columns, rows } });
  }

  // Returns whether the keys are on their way.
  type(keys) {
    if (!this.isOpen) return false;
    const bytes = new TextEncoder().encode(keys);
    for (let at = 0; at < bytes.length; at += PIECE) this.#socket.send(bytes.subarray(at, at + PIECE));
    return true;
  }
}
