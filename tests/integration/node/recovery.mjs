// What a subscription gets over restarts of its server, with the recipe of the docs.
//
//     node recovery.mjs <recipe> <port> graphql-ws|graphql-sse|apollo

import { pathToFileURL } from "node:url";

import { ApolloClient, InMemoryCache, gql } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import * as sse from "graphql-sse";
import * as ws from "graphql-ws";
import WebSocket from "ws";

const [, , recipe, port, name] = process.argv;
const { recovering } = await import(pathToFileURL(recipe));

const report = (value) => console.log(JSON.stringify(value));
const query = "subscription { onTick { number } }";
const retries = {
  retryAttempts: Infinity,
  // Those of graphql-ws and graphql-sse have other names for what they wait with.
  retryWait: () => new Promise((resolve) => setTimeout(resolve, 20)),
  retry: () => new Promise((resolve) => setTimeout(resolve, 20)),
};
const overWebSocket = () =>
  ws.createClient({
    ...retries,
    url: `ws://127.0.0.1:${port}/`,
    webSocketImpl: WebSocket,
    shouldRetry: () => true,
  });
const sink = {
  next: ({ data, extensions }) =>
    report({ number: data ? data.onTick.number : null, recovered: extensions?.recovered ?? null }),
  error: (problem) => report({ error: String(problem) }),
  complete: () => report("complete"),
};

if (name === "graphql-ws") {
  recovering(overWebSocket()).subscribe({ query }, sink);
} else if (name === "graphql-sse") {
  const client = sse.createClient({ ...retries, url: `http://127.0.0.1:${port}/` });
  recovering(client).subscribe({ query }, sink);
} else {
  const client = new ApolloClient({
    cache: new InMemoryCache(),
    link: new GraphQLWsLink(recovering(overWebSocket())),
  });
  client.subscribe({ query: gql(query), fetchPolicy: "no-cache" }).subscribe(sink);
}
