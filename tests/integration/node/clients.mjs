// Two clients behind one face: execute, subscribe, close, and the frames they exchanged.

import { createClient } from "graphql-ws";
import { SubscriptionClient } from "subscriptions-transport-ws";

import { recording } from "./recording.mjs";

function graphqlWs(url, headers) {
  const { frames, RecordingSocket } = recording(headers);
  const client = createClient({
    url,
    webSocketImpl: RecordingSocket,
    // One connection for everything, so that the record shows the order on it.
    lazy: false,
    retryAttempts: 0,
  });
  return {
    frames,
    start: (payload, sink) => client.subscribe(payload, sink),
    close: () => client.dispose(),
  };
}

function subscriptionsTransportWs(url, headers) {
  const { frames, RecordingSocket } = recording(headers);
  // Not one second, after which it gives up: the machine may be busy.
  const options = { reconnect: false, minTimeout: 30_000 };
  const client = new SubscriptionClient(url, options, RecordingSocket);
  return {
    frames,
    start: (payload, sink) => {
      const { unsubscribe } = client.request(payload).subscribe(sink);
      return unsubscribe;
    },
    close: () => client.close(),
  };
}

const CLIENTS = {
  "graphql-ws": graphqlWs,
  "subscriptions-transport-ws": subscriptionsTransportWs,
};

/** A connection; `execute` resolves with the result, or with the errors that came instead. */
export function connect(name, { url, headers }) {
  const { frames, start, close } = CLIENTS[name](url, headers);

  function execute(query, variables = {}) {
    return new Promise((resolve) => {
      let result;
      start(
        { query, variables },
        {
          next: (value) => (result = value),
          error: (failure) => resolve({ refused: failure }),
          complete: () => resolve(result),
        },
      );
    });
  }

  /** Resolves when the server has confirmed; `heard()` waits for the next event. */
  async function subscribe(query, variables = {}) {
    const arrived = [];
    const waiting = [];
    const take = (item) => (waiting.length ? waiting.shift()(item) : arrived.push(item));
    const heard = () =>
      arrived.length
        ? Promise.resolve(arrived.shift())
        : new Promise((resolve) => waiting.push(resolve));
    const unsubscribe = start(
      { query, variables },
      {
        next: take,
        error: (failure) => take({ refused: failure }),
        complete: () => take("complete"),
      },
    );
    return { confirmation: await heard(), heard, unsubscribe };
  }

  return { frames, execute, subscribe, close };
}
