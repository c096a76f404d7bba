// GraphQL over HTTP: single requests, with files if there are any, and streams of server-sent
// events, which the browser's `EventSource` reads and opens again by itself.

import { ConnectionLost, GraphQLErrors } from "./graphql-socket.js";

const RETRY = 3000; // An `EventSource` gives up for good where the server answers with an error.

/** Run a query or a mutation. `files` are variables too: { picture: file }. */
export async function request(endpoint, query, variables = {}, files = {}) {
  let response;
  try {
    response = await fetch(endpoint, {
      method: "POST",
      headers: { accept: "application/json", ...headersFor(files) },
      body: bodyOf({ query, variables }, files),
    });
  } catch {
    throw new ConnectionLost("The server cannot be reached.");
  }
  const { data, errors } = await response.json().catch(() => {
    throw new ConnectionLost(`The server answered ${response.status}.`);
  });
  if (errors?.length) throw new GraphQLErrors(errors);
  return data;
}

// A page of another site can send a form in our name, but none with a header like this one.
function headersFor(files) {
  return Object.keys(files).length
    ? { "graphql-require-preflight": "1" }
    : { "content-type": "application/json" };
}

// With files it is a form, as the GraphQL multipart request specification has it.
function bodyOf({ query, variables }, files) {
  const names = Object.keys(files);
  if (names.length === 0) return JSON.stringify({ query, variables });
  const empty = Object.fromEntries(names.map((name) => [name, null]));
  const form = new FormData();
  form.append("operations", JSON.stringify({ query, variables: { ...variables, ...empty } }));
  form.append("map", JSON.stringify(Object.fromEntries(names.map((name) => [name, [`variables.${name}`]]))));
  for (const name of names) form.append(name, files[name]);
  return form;
}

/**
 * Subscribe by server-sent events. `live` is called each time the server has confirmed that
 * it will now send every event, `lost` when the stream has broken and is opened again.
 */
export function listen(endpoint, query, variables, { next, live = () => {}, lost = () => {}, error = console.error }) {
  const address = new URL(endpoint, location.href);
  address.searchParams.set("query", query);
  address.searchParams.set("variables", JSON.stringify(variables));
  const source = new EventSource(address);
  source.addEventListener("next", (event) => {
    const result = JSON.parse(event.data);
    if (result.errors?.length) error(new GraphQLErrors(result.errors));
    else if (result.data === null) live();
    else next(result.data);
  });
  source.addEventListener("complete", () => source.close());
  source.addEventListener("error", () => {
    lost();
    if (source.readyState !== EventSource.CLOSED) return;
    setTimeout(() => listen(endpoint, query, variables, { next, live, lost, error }), RETRY);
  });
}
