// The page: GraphiQL with the settings that the server wrote into it.
import { explorerPlugin } from "@graphiql/plugin-explorer";
import "@graphiql/plugin-explorer/style.css";
import { GraphiQL, HISTORY_PLUGIN } from "graphiql";
import "graphiql/style.css";
import { getOperationAST, parse } from "graphql";
import { useSyncExternalStore } from "react";
import { createRoot } from "react-dom/client";

import { post } from "./http.mjs";
import { Live } from "./live.mjs";
import "./page.css";

const settings = readSettings();
const live = new Live(socketUrl(settings.subscriptionEndpoint));
const plugins = [HISTORY_PLUGIN, explorerPlugin()];
// A link may bring a document along, behind a `#`, which no server sees and no endpoint takes for a query to run.
const linked = new URLSearchParams(location.hash.slice(1));

globalThis.MonacoEnvironment = {
  getWorker: (_, label) => new Worker(settings.workers[label] ?? settings.workers.editor),
};

function readSettings() {
  const given = JSON.parse(document.getElementById("graphiql-config").textContent);
  const endpoint = given.endpoint ?? location.pathname;
  return { ...given, endpoint, subscriptionEndpoint: given.subscriptionEndpoint ?? endpoint };
}

function socketUrl(endpoint) {
  const url = new URL(endpoint, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  return url.href;
}

function fetcher(parameters, { headers } = {}) {
  return isSubscription(parameters)
    ? live.subscribe(parameters, headers)
    : post(settings, parameters, headers);
}

function isSubscription({ query, operationName }) {
  let document;
  try {
    document = parse(query);
  } catch {
    // The server finds the words for it.
    return false;
  }
  // While somebody types, GraphiQL's name of the operation may be that of a moment ago.
  const operation = getOperationAST(document, operationName) ?? getOperationAST(document);
  return operation?.operation === "subscription";
}

function words({ state, events }) {
  if (state === "live") {
    return `Live, ${events} ${events === 1 ? "event" : "events"}`;
  }
  return state === "reconnecting" ? "The connection is lost, trying again…" : "Connecting…";
}

function Status() {
  const status = useSyncExternalStore(live.listen, live.status);
  return status.state === "idle" ? null : (
    <div className="graphiql-status" data-state={status.state} role="status">
      {words(status)}
    </div>
  );
}

createRoot(document.getElementById("graphiql")).render(
  <GraphiQL
    fetcher={fetcher}
    plugins={plugins}
    defaultQuery={settings.defaultQuery ?? undefined}
    defaultHeaders={settings.defaultHeaders ?? undefined}
    initialQuery={linked.get("query") ?? undefined}
    initialVariables={linked.get("variables") ?? undefined}
    shouldPersistHeaders={settings.persistHeaders}
    defaultEditorToolsVisibility={settings.defaultHeaders ? "headers" : undefined}
    inputValueDeprecation
    schemaDescription
  >
    <GraphiQL.Logo>{settings.title}</GraphiQL.Logo>
    <GraphiQL.Footer>
      <Status />
    </GraphiQL.Footer>
  </GraphiQL>,
);
