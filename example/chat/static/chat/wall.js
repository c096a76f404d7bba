// The wall: follows a room by server-sent events, to be read from across a room.
//
// No WebSocket and no GraphQL library: one `EventSource` for the messages, one for the clock,
// and a query for what was said before.

import { listen, request } from "./graphql-http.js";
import { element, paintAvatar, withLinks } from "./view.js";

const KEPT = 12;
const MESSAGE = `id author { name isGuest } text picture sentAt`;
const HISTORY = `query History($room: ID!, $limit: Int!) {
  history(room: $room, limit: $limit) { messages { ${MESSAGE} } }
}`;
const ON_MESSAGE = `subscription OnMessage($room: ID!) {
  onMessage(room: $room) { message { ${MESSAGE} } }
}`;
const CLOCK = `subscription Clock { clock }`;

const settings = JSON.parse(document.getElementById("settings").textContent);
const find = (id) => document.getElementById(id);
const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });

const shown = new Map();

function show(found, { fresh = false } = {}) {
  for (const message of found) {
    const id = Number(message.id);
    if (!shown.has(id)) shown.set(id, draw(message, fresh));
  }
  const ids = [...shown.keys()].sort((one, other) => one - other);
  for (const id of ids.splice(0, Math.max(0, ids.length - KEPT))) shown.delete(id);
  const wanted = ids.map((id) => shown.get(id));
  const list = find("messages");
  // What stays is not touched, so that only what is new is announced and moves.
  for (const node of [...list.children]) if (!wanted.includes(node)) node.remove();
  wanted.forEach((node, place) => {
    if (list.children[place] !== node) list.insertBefore(node, list.children[place] ?? null);
  });
  find("empty").hidden = wanted.length > 0;
}

function draw({ author, text, picture, sentAt }, fresh) {
  const sent = new Date(sentAt);
  return element("li", { class: `note ${fresh ? "fresh" : ""}` },
    paintAvatar(element("span", { class: "avatar", "aria-hidden": "true" }), author.name),
    element("p", { class: "byline" },
      element("strong", {}, author.name),
      author.isGuest ? element("span", { class: "tag" }, "guest") : null,
      element("time", { datetime: sent.toISOString() }, time.format(sent))),
    picture ? element("img", { class: "picture", src: picture, alt: `A picture from ${author.name}` }) : null,
    text ? element("p", { class: "said" }, ...withLinks(text)) : null);
}

function showState(state, text) {
  find("status").dataset.state = state;
  find("status-text").textContent = text;
}

// A lost connection is shown by the lamp.
function report(error) {
  if (find("status").dataset.state === "ready") console.error(error);
}

listen(settings.endpoint, ON_MESSAGE, { room: settings.room }, {
  // First live, then the history: nothing falls between the two, and nothing is shown twice.
  live: async () => {
    showState("ready", "Live");
    try {
      const { history } = await request(settings.endpoint, HISTORY, { room: settings.room, limit: KEPT });
      show(history.messages);
    } catch (error) {
      report(error);
    }
  },
  next: ({ onMessage }) => show([onMessage.message], { fresh: true }),
  lost: () => showState("waiting", "Reconnecting…"),
  error: report,
});

listen(settings.endpoint, CLOCK, {}, {
  next: ({ clock }) => {
    const now = new Date(clock);
    // "AM" and "PM" are worth less than the hour.
    find("clock").replaceChildren(...time.formatToParts(now).map(({ type, value }) =>
      (type === "dayPeriod" ? element("small", {}, value) : value.trim())));
    find("clock").dateTime = clock;
    find("day").textContent = day.format(now);
  },
  error: report,
});
