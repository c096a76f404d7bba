// Subscriptions: one WebSocket for all of them, opened when the first one starts.
import { createClient } from "graphql-ws";

import { failure } from "./http.mjs";

// A subscription that is stopped and started again finds its socket still open.
const CLOSE_IDLE_AFTER = 5_000;

const NOTHING = { state: "idle", events: 0 };

/** One shared connection to `url`; the headers of a subscription are its connection params. */
export class Live {
  #url;
  #client = null;
  #params = null;
  #wasConnected = false;
  #active = 0;
  #status = NOTHING;
  #listeners = new Set();

  constructor(url) {
    this.#url = url;
  }

  // What `useSyncExternalStore` asks for.
  listen = (listener) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };
  status = () => this.#status;

  /** Give an observable of the results. */
  subscribe(parameters, headers) {
    return { subscribe: (observer) => this.#start(parameters, headers, observer) };
  }

  #start(parameters, headers, observer) {
    const client = this.#clientFor(headers ?? {});
    // graphql-ws completes what was stopped a moment later, when another one may be running.
    let running = true;
    const end = (last) => {
      if (running) {
        running = false;
        this.#active -= 1;
        this.#show(this.#active === 0 ? NOTHING : {});
        last();
      }
    };
    this.#active += 1;
    this.#show({ state: this.#wasConnected ? "live" : "connecting", events: 0 });
    const stop = client.subscribe(parameters, {
      next: (result) => {
        if (running) {
          if (!isConfirmation(result)) {
            this.#show({ events: this.#status.events + 1 });
          }
          observer.next(result);
        }
      },
      error: (problem) => {
        const words = this.#explain(problem);
        end(() => {
          observer.next(words);
          observer.complete();
        });
      },
      complete: () => end(() => observer.complete()),
    });
    return { unsubscribe: () => end(stop) };
  }

  #clientFor(headers) {
    const params = JSON.stringify(headers);
    if (this.#client === null || params !== this.#params) {
      this.#client?.dispose();
      this.#wasConnected = false;
      this.#params = params;
      this.#client = this.#connect(headers);
    }
    return this.#client;
  }

  #connect(connectionParams) {
    const whileCurrent = (change) => (...details) => {
      if (client === this.#client) {
        change(...details);
      }
    };
    const client = createClient({
      url: this.#url,
      connectionParams,
      lazy: true,
      lazyCloseTimeout: CLOSE_IDLE_AFTER,
      // A socket that never opened is a mistake to be told, one that was lost will come back.
      shouldRetry: (problem) => isClose(problem) && this.#wasConnected,
      on: {
        connecting: whileCurrent((isRetry) =>
          this.#show({ state: isRetry ? "reconnecting" : "connecting" }),
        ),
        connected: whileCurrent(() => {
          this.#wasConnected = true;
          this.#show({ state: "live" });
        }),
        closed: whileCurrent(() => this.#show({ state: "reconnecting" })),
      },
    });
    return client;
  }

  // Without a subscription nobody cares what the socket does.
  #show(change) {
    this.#status = this.#active === 0 ? NOTHING : { ...this.#status, ...change };
    this.#listeners.forEach((listener) => listener());
  }

  #explain(problem) {
    if (Array.isArray(problem)) {
      return { errors: problem };
    }
    if (!isClose(problem)) {
      return failure(problem?.message ?? String(problem));
    }
    const { code, reason } = problem;
    return failure(this.#explainClose(code, reason), { code, reason, url: this.#url });
  }

  #explainClose(code, reason) {
    if (code === 4403 || code === 4401) {
      return `The server refused the connection: ${reason || "Forbidden"}. The Headers tab holds its connection params.`;
    }
    if (!this.#wasConnected && !reason) {
      return `No WebSocket could be opened. Does the server route this path to a WebSocket consumer, and does it accept the origin ${location.origin}?`;
    }
    return `The connection was closed: ${reason || "the server gave no reason"}.`;
  }
}

// What servers with `confirm_subscriptions` send first: no event is null without an error.
function isConfirmation(result) {
  return result.data === null && !result.errors?.length;
}

function isClose(problem) {
  return typeof problem === "object" && problem !== null && "code" in problem && "reason" in problem;
}
