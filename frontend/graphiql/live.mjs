// Subscriptions: one WebSocket for all of them, opened when the first one starts.
import { createClient } from "graphql-ws";

import { failure } from "./http.mjs";
import { explainClose, explainUnopened, problemOf } from "./reasons.mjs";

// A subscription that is stopped and started again finds its socket still open.
const CLOSE_IDLE_AFTER = 5_000;

// A host that has gone without a word answers no ping.
const PING_EVERY = 15_000;
const PONG_TIMEOUT = 15_000;

const ACK_TIMEOUT = 30_000;

const FIRST_RETRY_AFTER = 500;
const RETRY_AT_LEAST_EVERY = 5_000;

const FORBIDDEN = 4403;

const IDLE = { state: "idle", events: 0, attempt: 0 };

/** One shared connection; the headers of a subscription are its connection params. */
export class Live {
  #settings;
  #log;
  #client = null;
  #params = null;
  #wasConnected = false;
  #active = 0;
  #status = IDLE;
  #listeners = new Set();

  /**
   * @param settings those of the page, with `url`, the address of the WebSocket.
   * @param log an `EventLog` that is told of each event.
   */
  constructor(settings, log) {
    this.#settings = settings;
    this.#log = log;
  }

  // The two methods that `useSyncExternalStore` takes.
  listen = (listener) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };
  status = () => this.#status;

  /** Return an observable of the results. */
  subscribe(parameters, headers) {
    return { subscribe: (observer) => this.#start(parameters, headers, observer) };
  }

  #start(parameters, headers, observer) {
    const problem = problemOf(this.#settings.url);
    if (problem !== null) {
      // GraphiQL notes the subscription when this has returned: one that was over by then would seem to run.
      let isWanted = true;
      queueMicrotask(() => {
        if (isWanted) {
          observer.next(failure(problem, { url: this.#settings.url }));
          observer.complete();
        }
      });
      return { unsubscribe: () => (isWanted = false) };
    }
    const client = this.#clientFor(headers ?? {});
    // graphql-ws completes a stopped subscription a moment later, when another one may be running.
    let running = true;
    const end = (last) => {
      if (running) {
        running = false;
        this.#active -= 1;
        this.#show(this.#active === 0 ? IDLE : {});
        last();
      }
    };
    this.#active += 1;
    this.#log.started(parameters);
    this.#show({ state: this.#wasConnected ? "live" : "connecting", events: 0, attempt: 0 });
    const stop = client.subscribe(parameters, {
      next: (result) => {
        if (running) {
          if (!isConfirmation(result)) {
            this.#log.add(result);
            this.#show({ events: this.#status.events + 1 });
          }
          observer.next(result);
        }
      },
      error: (problem) => {
        const explanation = this.#explain(problem);
        end(() => {
          observer.next(explanation);
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
    let silence;
    const client = createClient({
      url: this.#settings.url,
      connectionParams,
      lazy: true,
      lazyCloseTimeout: CLOSE_IDLE_AFTER,
      connectionAckWaitTimeout: ACK_TIMEOUT,
      keepAlive: PING_EVERY,
      retryAttempts: Infinity,
      retryWait: (retries) => pause(Math.min(FIRST_RETRY_AFTER * 2 ** retries, RETRY_AT_LEAST_EVERY)),
      shouldRetry: (problem) => this.#wasConnected && mayPass(problem),
      on: {
        connecting: whileCurrent((isRetry) =>
          this.#show(
            isRetry ? { state: "reconnecting", attempt: this.#status.attempt + 1 } : { state: "connecting" },
          ),
        ),
        connected: whileCurrent(() => {
          this.#wasConnected = true;
          this.#show({ state: "live", attempt: 0 });
        }),
        closed: whileCurrent(() => {
          clearTimeout(silence);
          this.#show({ state: this.#wasConnected ? "reconnecting" : "connecting" });
        }),
        ping: (isReceived) => {
          if (!isReceived) {
            silence = setTimeout(() => client.terminate(), PONG_TIMEOUT);
          }
        },
        message: () => clearTimeout(silence),
      },
    });
    return client;
  }

  // The state of the socket matters only while there is a subscription.
  #show(change) {
    this.#status = this.#active === 0 ? IDLE : { ...this.#status, ...change };
    this.#listeners.forEach((listener) => listener());
  }

  #explain(problem) {
    if (Array.isArray(problem)) {
      return { errors: problem };
    }
    const { url } = this.#settings;
    if (isClose(problem) && (this.#wasConnected || problem.reason || problem.code >= 4000)) {
      const { code, reason } = problem;
      return failure(explainClose(code, reason), { code, reason, url });
    }
    if (isClose(problem) || problem instanceof Event) {
      const { message, check } = explainUnopened(this.#settings);
      return failure(message, { url, check });
    }
    return failure(problem?.message ?? String(problem), { url });
  }
}

function pause(milliseconds) {
  // At random, so that the pages of a whole team do not come back in the same moment.
  return new Promise((resolve) => setTimeout(resolve, milliseconds * (0.75 + Math.random() / 2)));
}

// Browsers report an attempt that found no server as an `Event` without a code. An `Error` is about what the
// server said, and would come again.
function mayPass(problem) {
  return isClose(problem) ? problem.code !== FORBIDDEN : problem instanceof Event;
}

// Servers with `confirm_subscriptions` send one first: an event has `data`, or errors.
function isConfirmation(result) {
  return result.data === null && !result.errors?.length;
}

function isClose(problem) {
  return typeof problem === "object" && problem !== null && "code" in problem && "reason" in problem;
}
