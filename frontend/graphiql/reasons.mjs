// Why a subscription cannot go on, for people who can change something about it.

/** Return what is wrong with the address of the WebSocket, or `null`. */
export function problemOf(url) {
  let parsed;
  try {
    parsed = new URL(url);
  } catch {
    return `"${url}" is not an address. Set \`subscription_endpoint\` of \`GraphiqlConfig\` to a path or to a ws:// or wss:// URL.`;
  }
  if (!["ws:", "wss:"].includes(parsed.protocol)) {
    return `Subscriptions need a WebSocket, and ${url} is none. Set \`subscription_endpoint\` of \`GraphiqlConfig\` to a path or to a ws:// or wss:// URL.`;
  }
  if (location.protocol === "https:" && parsed.protocol === "ws:" && !isLoopback(parsed.hostname)) {
    return `This page came by https, from which browsers open no unencrypted WebSocket: ${url}. Set \`subscription_endpoint\` of \`GraphiqlConfig\` to a wss:// URL.`;
  }
  return null;
}

function isLoopback(host) {
  return host === "localhost" || host.endsWith(".localhost") || host === "[::1]" || host.startsWith("127.");
}

/** Return the text for a WebSocket that was closed with a code. */
export function explainClose(code, reason) {
  if (code === 4403 || code === 4401) {
    return `The server refused the connection: ${reason || "Forbidden"}. The Headers tab holds its connection params.`;
  }
  if (code === 4406) {
    return "The server does not speak the subprotocol graphql-transport-ws. Add it to `subprotocols` of the consumer.";
  }
  return `The connection was closed: ${reason || `the server gave no reason, the code is ${code}`}.`;
}

/**
 * Return the text for a WebSocket that could not be opened, and what to look at.
 *
 * Browsers do not tell scripts what the server answered; the server's log and the browser's console have it.
 */
export function explainUnopened({ url, isWsgi }) {
  if (isWsgi) {
    return {
      message: `No WebSocket could be opened at ${url}: this page was served through WSGI, which has no WebSocket.`,
      check: [
        'With `manage.py runserver`: put "daphne" first in INSTALLED_APPS, and set ASGI_APPLICATION, for example to "project.asgi.application".',
        "Otherwise start an ASGI server, for example `uvicorn project.asgi:application`.",
        "In asgi.py, serve this path by `GraphqlProtocolTypeRouter(schema, django_application=get_asgi_application())`.",
      ],
    };
  }
  return {
    message: `No WebSocket could be opened at ${url}. The server's log, or the browser's console, has its answer.`,
    check: [
      "404 or 500: asgi.py must route WebSockets of this path, as `GraphqlProtocolTypeRouter` does. A Django URLconf serves HTTP only.",
      `403: the server must accept the origin ${location.origin}. Add its host to ALLOWED_HOSTS, or the origin to CSRF_TRUSTED_ORIGINS or to the option \`allowed_origins\`.`,
      "400 or 426: a proxy in between must pass the headers `Upgrade` and `Connection` on.",
      "No answer: is the server running, and does the path end in a slash, as its route does?",
    ],
  };
}
