// A WebSocket of `ws` with the headers of a person, and a record of every frame it sees.

import WebSocket from "ws";

export function recording(headers = {}) {
  const frames = [];
  const record = (from, text) => frames.push({ from, message: JSON.parse(text) });

  class RecordingSocket extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols, { headers });
      // Listens before any client can, so what a client has heard is in the record.
      this.on("message", (data) => record("server", data));
    }

    send(text, ...rest) {
      record("client", text);
      super.send(text, ...rest);
    }
  }

  return { frames, RecordingSocket };
}
