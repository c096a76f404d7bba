// Queries and mutations: a POST to the endpoint, and a text for everything that can go wrong with it.

const EXCERPT = 600;

/** Return the response to a query or mutation; any other answer becomes an error in one. */
export async function post(settings, parameters, headers) {
  let response;
  try {
    response = await fetch(settings.endpoint, {
      method: "POST",
      credentials: "same-origin",
      headers: {
        Accept: "application/graphql-response+json, application/json;q=0.9",
        "Content-Type": "application/json",
        ...csrf(settings.csrf),
        ...headers,
      },
      body: JSON.stringify(parameters),
    });
  } catch (error) {
    return failure(`No answer from ${settings.endpoint}: ${error.message}`);
  }
  const text = await response.text();
  return parsed(text) ?? refusal(response, text);
}

// The cookie changes with every login, and the page may be older.
function csrf({ cookie, header, token }) {
  const current = (cookie && readCookie(cookie)) || token;
  return current ? { [header]: current } : {};
}

function readCookie(name) {
  const start = `${name}=`;
  const found = document.cookie.split("; ").find((each) => each.startsWith(start));
  return found && decodeURIComponent(found.slice(start.length));
}

function parsed(text) {
  try {
    const value = JSON.parse(text);
    const isResponse = typeof value === "object" && value !== null && ("data" in value || "errors" in value);
    return isResponse ? value : null;
  } catch {
    return null;
  }
}

function refusal(response, text) {
  const contentType = response.headers.get("Content-Type") ?? "";
  const status = [response.status, response.statusText].filter(Boolean).join(" ");
  return failure(`The server answered ${status}, and not with a GraphQL response.`, {
    status: response.status,
    contentType,
    body: excerpt(text, contentType),
  });
}

function excerpt(text, contentType) {
  const isHtml = contentType.startsWith("text/html");
  const page = isHtml ? new DOMParser().parseFromString(text, "text/html").body : null;
  page?.querySelectorAll("script, style").forEach((each) => each.remove());
  const plain = (page?.textContent ?? text).replaceAll(/\s+/g, " ").trim();
  return plain.length > EXCERPT ? `${plain.slice(0, EXCERPT)}…` : plain;
}

/** Return a GraphQL response that says what went wrong. */
export function failure(message, extensions) {
  return { errors: [extensions === undefined ? { message } : { message, extensions }] };
}
