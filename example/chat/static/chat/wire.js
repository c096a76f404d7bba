// Shows the messages of a `GraphQLSocket` as they go over the wire.

import { element } from "./view.js";

const KEPT = 100;

/** Fill the list with messages, the newest first, and let the buttons show and hide the panel. */
export function showWire(socket, { panel, list, show, hide }) {
  socket.addEventListener("frame", ({ detail }) => {
    list.prepend(frame(detail));
    list.children[KEPT]?.remove();
  });
  const toggle = (visible) => {
    panel.hidden = !visible;
    show.setAttribute("aria-expanded", String(visible));
    (visible ? hide : show).focus();
  };
  show.addEventListener("click", () => toggle(panel.hidden));
  hide.addEventListener("click", () => toggle(false));
}

function frame({ isOurs, message }) {
  const { type, id, payload } = message;
  return element("li", {},
    element("details", {},
      element("summary", {},
        element("span", { class: isOurs ? "to" : "from" },
          element("span", { "aria-hidden": "true" }, isOurs ? "→" : "←"),
          element("span", { class: "visually-hidden" }, isOurs ? "Sent: " : "Received: "),
          element("span", { class: "kind" }, type)),
        id === undefined ? null : `${id} `,
        payload === undefined ? null : brief(payload)),
      element("pre", { tabindex: "0" }, payload?.query ? withDocument(message) : JSON.stringify(message, null, 2))));
}

function brief({ query, variables, ...rest }) {
  if (query === undefined) return JSON.stringify(rest);
  return `${query.trim().split(/[({]/)[0].trim()} ${JSON.stringify(variables ?? {})}`;
}

// As it is sent, a document is one long line.
function withDocument({ payload: { query, ...payload }, ...message }) {
  return `${JSON.stringify({ ...message, payload }, null, 2)}\n\n${query}`;
}
