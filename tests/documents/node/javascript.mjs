// Uses the modules of docs/how-to/javascript.md: `javascript.mjs FOLDER HOST`.
//
// Prints, for each of them, the messages that arrived.
import path from "node:path";
import { pathToFileURL } from "node:url";

import { EventSource } from "eventsource";
import { WebSocket } from "ws";

globalThis.WebSocket ??= WebSocket;
globalThis.EventSource ??= EventSource;

const [folder, host] = process.argv.slice(2);
const httpUrl = `http://${host}/graphql/`;
const page = (name) => import(pathToFileURL(path.join(folder, name)));

const graphqlWs = await page("graphql-ws.js");
const apollo = await page("apollo.js");
const urql = await page("urql.js");
const relay = await page("relay.js");
const events = await page("events.js");
const graphqlSse = await page("graphql-sse.js");

const tokens = [];
const wsClient = graphqlWs.connect(`ws://${host}/graphql/`, async () => {
  tokens.push("asked");
  return "a token";
});
const QUERY = `subscription OnMessage($room: String!) { onMessage(room: $room) { message { id author text } } }`;
const variables = { room: "tea" };
const observed = (name) => ({
  next: ({ data }) => report(name, data.onMessage.message),
  error: (error) => report(name, String(error)),
  complete: () => {},
});

function report(name, message) {
  console.log(JSON.stringify({ name, message }));
}

async function iterate() {
  for await (const message of graphqlWs.messages(wsClient, "tea")) {
    report("graphql-ws", message);
  }
}

iterate();
const apolloClient = apollo.connect(httpUrl, wsClient);
apolloClient.subscribe({ query: apollo.ON_MESSAGE, variables }).subscribe(observed("apollo"));
urql.connect(httpUrl, wsClient).subscription(urql.ON_MESSAGE, variables).subscribe(observed("urql").next);
relay.network(httpUrl, wsClient).execute({ text: QUERY, name: "OnMessage", operationKind: "subscription" }, variables, {}).subscribe(observed("relay"));
relay.connect(httpUrl, wsClient);
events.listen(httpUrl, "tea", (message) => report("events", message));
graphqlSse.connect(httpUrl).subscribe({ query: QUERY, variables }, observed("graphql-sse"));

const MESSAGES = `query Messages($room: String!) { messages(room: $room) { text } }`;
const { gql } = await import("@apollo/client");
const results = await Promise.all([
  apolloClient.query({ query: gql(MESSAGES), variables, fetchPolicy: "no-cache" }).then(({ data }) => data),
  urql.connect(httpUrl, wsClient).query(MESSAGES, variables).toPromise().then(({ data }) => data),
  relay.network(httpUrl, wsClient).execute({ text: MESSAGES, name: "Messages", operationKind: "query" }, variables, {}).toPromise().then(({ data }) => data),
]);
console.log(JSON.stringify({ queries: results.map(({ messages }) => messages.map(({ text }) => text)), tokens }));
process.stdin.once("data", () => process.exit(0));
