// A GraphQL client over one WebSocket, speaking `graphql-transport-ws`.
//
// It connects by itself, again and again with growing pauses, and subscribes anew after
// each time. What was in flight when the connection broke is rejected, not repeated: a
// mutation may have been carried out although its answer was lost.

const PROTOCOL = "graphql-transport-ws";
const FIRST_PAUSE = 300;
const LONGEST_PAUSE = 8000;
const HELLO_TIMEOUT = 10000;
const SILENCE = 25000; // Without a word for this long we ask the server whether it is there…
const ANSWER = 5000; // …and give the connection up if it stays silent for this long.

// The server will not change its mind about these, so we do not ask again.
const FINAL_CODES = new Set([4400, 4401, 4403, 4406, 4409, 4429]);

export class ConnectionLost extends Error {}

export class GraphQLErrors extends Error {
  constructor(errors) {
    super(errors.map((error) => error.message).join(" "));
    this.errors = errors;
  }
}

/** Has the events "state", and "frame" with each message on the WebSocket, `{ isOurs, message }`. */
export class GraphQLSocket extends EventTarget {
  #url;
  #socket = null;
  #state = "connecting";
  #operations = new Map();
  #lastId = 0;
  #attempt = 0;
  #retryTimer;
  #watchTimer;

  constructor(url) {
    super();
    this.#url = url;
    // Coming back to the tab or to the network is a good moment to try at once.
    addEventListener("online", () => this.#retryNow());
    addEventListener("offline", () => this.#broken(this.#socket));
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.#retryNow();
    });
  }

  /** "connecting", "ready", "waiting" (for the next attempt) or "refused". */
  get state() {
    return this.#state;
  }

  connect() {
    clearTimeout(this.#retryTimer);
    this.#become("connecting");
    const socket = new WebSocket(this.#url, PROTOCOL);
    this.#socket = socket;
    socket.onopen = () => this.#write({ type: "connection_init" });
    socket.onmessage = (event) => {
      if (socket === this.#socket) this.#receive(JSON.parse(event.data));
    };
    socket.onclose = (event) => this.#broken(socket, event.code);
    this.#watch(socket, HELLO_TIMEOUT);
  }

  /** Run a query or a mutation once; fails at once while there is no connection. */
  request(query, variables = {}) {
    return new Promise((resolve, reject) => {
      if (this.#state !== "ready") {
        reject(new ConnectionLost("There is no connection."));
        return;
      }
      let result = { data: null, errors: [new Error("The server sent no result.")] };
      this.#start({
        payload: { query, variables },
        next: (value) => (result = value),
        error: (errors) => reject(new GraphQLErrors(errors)),
        lost: () => reject(new ConnectionLost("The connection was lost.")),
        complete: () =>
          result.errors?.length ? reject(new GraphQLErrors(result.errors)) : resolve(result.data),
      });
    });
  }

  /**
   * Listen until the returned function is called, over as many connections as it takes.
   * `live` is called each time the server has confirmed that it will now send every event.
   */
  subscribe(query, variables, { next, live = () => {}, error = console.error }) {
    const operation = {
      lasting: true,
      payload: { query, variables },
      next: (result) => {
        if (result.errors?.length) error(result.errors);
        else if (result.data === null) live();
        else next(result.data);
      },
      error,
      lost: () => {},
      complete: () => {},
    };
    this.#start(operation);
    return () => {
      if (!this.#operations.delete(operation.id)) return;
      if (this.#state === "ready") this.#write({ type: "complete", id: operation.id });
    };
  }

  #start(operation) {
    operation.id = String(++this.#lastId);
    this.#operations.set(operation.id, operation);
    if (this.#state === "ready") this.#send(operation);
  }

  #send({ id, payload }) {
    this.#write({ type: "subscribe", id, payload });
  }

  #write(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    this.#socket.send(JSON.stringify(message));
    this.#show(message, { isOurs: true });
  }

  #receive(message) {
    this.#show(message, { isOurs: false });
    this.#watch(this.#socket, SILENCE);
    const operation = this.#operations.get(message.id);
    switch (message.type) {
      case "connection_ack":
        this.#attempt = 0;
        for (const waiting of this.#operations.values()) this.#send(waiting);
        // Last: a listener may start operations, which are then sent at once.
        this.#become("ready");
        break;
      case "ping":
        this.#write({ type: "pong", payload: message.payload });
        break;
      case "next":
        operation?.next(message.payload);
        break;
      case "error":
        this.#operations.delete(message.id);
        operation?.error(message.payload);
        break;
      case "complete":
        this.#operations.delete(message.id);
        operation?.complete();
        break;
    }
  }

  // A socket can be dead for many minutes before the browser says so (a laptop that slept,
  // a network that changed). Whatever the server says starts this clock anew.
  #watch(socket, patience) {
    clearTimeout(this.#watchTimer);
    this.#watchTimer = setTimeout(() => {
      this.#write({ type: "ping" });
      this.#watchTimer = setTimeout(() => this.#broken(socket), ANSWER);
    }, patience);
  }

  #broken(socket, code) {
    if (socket === null || socket !== this.#socket) return;
    this.#socket = null;
    clearTimeout(this.#watchTimer);
    socket.close();
    for (const operation of [...this.#operations.values()]) {
      if (operation.lasting) continue;
      this.#operations.delete(operation.id);
      operation.lost();
    }
    if (FINAL_CODES.has(code)) {
      this.#become("refused");
      return;
    }
    // A random share keeps the clients of a restarted server from coming all at once.
    const pause = Math.min(FIRST_PAUSE * 2 ** this.#attempt++, LONGEST_PAUSE);
    this.#retryTimer = setTimeout(() => this.connect(), pause * (0.5 + Math.random() / 2));
    this.#become("waiting");
  }

  #show(message, { isOurs }) {
    this.dispatchEvent(new CustomEvent("frame", { detail: { isOurs, message } }));
  }

  #retryNow() {
    if (this.#state === "waiting") this.connect();
  }

  #become(state) {
    if (state === this.#state) return;
    this.#state = state;
    this.dispatchEvent(new Event("state"));
  }
}
