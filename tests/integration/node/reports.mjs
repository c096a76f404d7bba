// What a client says about its connection: a JSON value per line, when it happens.
//
//     node reports.mjs <scenario> <url>

import { once } from "node:events";

import { createClient } from "graphql-ws";
import { SubscriptionClient } from "subscriptions-transport-ws";

import { recording } from "./recording.mjs";

const [, , scenario, url] = process.argv;

const report = (value) => console.log(JSON.stringify(value));
const frame = (type, rest = {}) => JSON.stringify({ type, ...rest });
const HELLO = { query: "{ hello }" };
const TICKS = { query: "subscription { onTick { number } }" };
// The legacy client gives up after a second otherwise, and the machine may be busy.
const PATIENCE = 30_000;
const quiet = { next() {}, error() {}, complete() {} };

/** A client of graphql-ws that reports, and is held open until it is given up or disposed. */
function graphqlWs({ on = {}, ...options } = {}) {
  let [gaveUp, retries] = [null, 1];
  const end = new Promise((resolve) => (gaveUp = resolve));
  const client = createClient({
    url,
    webSocketImpl: recording().RecordingSocket,
    lazy: false,
    // Once, and no more: a client that has been let in counts anew by itself.
    shouldRetry: () => retries-- > 0,
    retryWait: async () => {},
    onNonLazyError: ({ code }) => gaveUp(report({ "gave up": code })),
    ...options,
    on: {
      ...on,
      closed: ({ code, reason }) => report({ closed: code, reason }),
    },
  });
  return { client, end };
}

function execute(client, payload) {
  return new Promise((resolve, reject) => {
    let result;
    client.subscribe(payload, {
      next: (value) => (result = value),
      error: reject,
      complete: () => resolve(result),
    });
  });
}

/** Resolves when it has been called `times` times. */
function countdown(times) {
  let done;
  const reached = new Promise((resolve) => (done = resolve));
  return { reached, count: () => --times === 0 && done() };
}

const scenarios = {
  async acknowledged() {
    const { client } = graphqlWs({
      connectionParams: { token: "of Owl" },
      on: { connected: (socket, payload) => report({ acknowledged: payload ?? null }) },
    });
    report(await execute(client, HELLO));
    await client.dispose();
  },

  "a message that is none": () =>
    graphqlWs({ on: { connected: (socket) => socket.send("[]") } }).end,

  "an unknown type": () =>
    graphqlWs({ on: { connected: (socket) => socket.send(frame("start", { id: "1" })) } }).end,

  "a subscribe before the init": () =>
    graphqlWs({
      on: { opened: (socket) => socket.send(frame("subscribe", { id: "1", payload: HELLO })) },
    }).end,

  "a second init": () =>
    graphqlWs({ on: { connected: (socket) => socket.send(frame("connection_init")) } }).end,

  "an id that is in use": () => {
    const { client, end } = graphqlWs({ generateID: () => "same" });
    client.subscribe(TICKS, quiet);
    client.subscribe(TICKS, quiet);
    return end;
  },

  // What the client sends first is never ready.
  "no init": () => graphqlWs({ connectionParams: () => new Promise(() => {}) }).end,

  "no pong": () => graphqlWs({ disablePong: true }).end,

  // Refused with 4403 or with what else the server likes.
  refused: () => graphqlWs().end,

  async pings() {
    const fromServer = countdown(3);
    const answers = countdown(3);
    const fromUs = countdown(3);
    const { client } = graphqlWs({
      keepAlive: 10,
      on: {
        ping: (received) => received && fromServer.count(),
        pong: (received) => (received ? answers : fromUs).count(),
      },
    });
    await Promise.all([fromServer.reached, answers.reached, fromUs.reached]);
    report(await execute(client, HELLO));
    await client.dispose();
  },

  async restart() {
    const { client } = graphqlWs({
      shouldRetry: () => true,
      // The server is there again when whoever restarts it says so.
      retryWait: () => once(process.stdin, "data"),
      on: { connected: (socket, payload, again) => report({ connected: again ? "again" : "" }) },
    });
    const second = countdown(4);
    client.subscribe(TICKS, {
      ...quiet,
      next: (result) => {
        report(result);
        second.count();
      },
    });
    await second.reached;
    await client.dispose();
    process.stdin.destroy();
  },

  async "legacy keep-alive"() {
    const { frames, RecordingSocket } = recording();
    const client = new SubscriptionClient(url, { minTimeout: PATIENCE }, RecordingSocket);
    client.onDisconnected(() => report("disconnected"));
    const kas = countdown(4);
    client.onConnected(() => {
      client.client.on("message", (text) => JSON.parse(text).type === "ka" && kas.count());
    });
    await kas.reached;
    client.request(HELLO).subscribe({
      next: report,
      complete: () => {
        report(frames.map(({ from, message }) => [from, message.type]));
        client.close();
      },
    });
  },

  "legacy refusal"() {
    const { RecordingSocket } = recording();
    const connectionCallback = (error) => report({ error: error ?? null });
    const options = { connectionCallback, minTimeout: PATIENCE };
    const client = new SubscriptionClient(url, options, RecordingSocket);
    client.client.on("close", (code) => report({ closed: code }));
  },
};

await scenarios[scenario]();
