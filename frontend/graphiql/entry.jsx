// The page: GraphiQL with the settings that the server wrote into it.
import { explorerPlugin } from "@graphiql/plugin-explorer";
import "@graphiql/plugin-explorer/style.css";
import { useGraphiQL, useGraphiQLActions } from "@graphiql/react";
import { GraphiQL, HISTORY_PLUGIN } from "graphiql";
import "graphiql/style.css";
import { getOperationAST, parse } from "graphql";
import { useEffect, useSyncExternalStore } from "react";
import { createRoot } from "react-dom/client";

import { EventLog } from "./events.mjs";
import { post } from "./http.mjs";
import { Live } from "./live.mjs";
import "./page.css";
import { pastEventsPlugin } from "./past-events.jsx";

const settings = readSettings();
const log = new EventLog();
const live = new Live({ url: socketUrl(settings.subscriptionEndpoint), isWsgi: settings.isWsgi }, log);
const plugins = [HISTORY_PLUGIN, explorerPlugin(), pastEventsPlugin(log)];
// A link may bring a document along, behind a `#`, which no server sees and no endpoint takes for a query to run.
const linked = new URLSearchParams(location.hash.slice(1));

globalThis.MonacoEnvironment = {
  getWorker: (_, label) => new Worker(settings.workers[label] ?? settings.workers.editor),
};

function readSettings() {
  const given = JSON.parse(document.getElementById("graphiql-config").textContent);
  // With its origin: a path that begins with `//` would name another host.
  const endpoint = given.endpoint ?? location.origin + location.pathname;
  return { ...given, endpoint, subscriptionEndpoint: given.subscriptionEndpoint ?? endpoint };
}

function socketUrl(endpoint) {
  if (!URL.canParse(endpoint, location.href)) {
    // Told as the result of a subscription; queries work all the same.
    return endpoint;
  }
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
    // The server's answer says what is wrong with it.
    return false;
  }
  // While somebody types, GraphiQL's name of the operation may be that of a moment ago.
  const operation = getOperationAST(document, operationName) ?? getOperationAST(document);
  return operation?.operation === "subscription";
}

function words({ state, events, attempt }) {
  if (state === "live") {
    return `Live, ${events} ${events === 1 ? "event" : "events"}`;
  }
  if (state !== "reconnecting") {
    return "Connecting…";
  }
  return attempt < 2
    ? "The connection is lost, trying again…"
    : `The connection is lost, trying again… (attempt ${attempt}; is the server running?)`;
}

function Status() {
  const status = useSyncExternalStore(live.listen, live.status);
  return status.state === "idle" ? null : (
    <div className="graphiql-status" data-state={status.state} role="status">
      {words(status)}
    </div>
  );
}

/** Lets the editors follow the system from light to dark; the rest of the page does so by CSS. */
function SystemTheme() {
  const theme = useGraphiQL((state) => state.theme);
  const { setTheme } = useGraphiQLActions();
  useEffect(() => {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    // A theme that was chosen stays.
    const follow = () => theme === null && setTheme(null);
    dark.addEventListener("change", follow);
    return () => dark.removeEventListener("change", follow);
  }, [theme, setTheme]);
  return null;
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
    <GraphiQL.Logo>
      <h1 className="graphiql-title">{settings.title}</h1>
    </GraphiQL.Logo>
    <GraphiQL.Footer>
      <SystemTheme />
      <Status />
    </GraphiQL.Footer>
  </GraphiQL>,
);
