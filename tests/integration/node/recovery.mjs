// What a subscription of graphql-ws gets over restarts of its server, with the recipe of the docs.
//
//     node recovery.mjs <recipe> <url>

import { pathToFileURL } from "node:url";

import { createClient } from "graphql-ws";
import WebSocket from "ws";

const [, , recipe, url] = process.argv;
const { recovering } = await import(pathToFileURL(recipe));

const report = (value) => console.log(JSON.stringify(value));
const client = recovering(
  createClient({
    url,
    webSocketImpl: WebSocket,
    retryAttempts: Infinity,
    retryWait: () => new Promise((resolve) => setTimeout(resolve, 20)),
    shouldRetry: () => true,
  }),
);
client.subscribe(
  { query: "subscription { onTick { number } }" },
  {
    next: ({ data, extensions }) =>
      report({ number: data ? data.onTick.number : null, recovered: extensions.recovered ?? null }),
    error: (problem) => report({ error: String(problem) }),
    complete: () => report("complete"),
  },
);
