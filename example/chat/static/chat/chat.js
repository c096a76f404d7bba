// The chat: which room is open, what was said in it, who is typing.

import { request } from "./graphql-http.js";
import { GraphQLErrors, GraphQLSocket } from "./graphql-socket.js";
import { PictureBox } from "./picture-box.js";
import { Conversation, element, paintAvatar } from "./view.js";
import { showWire } from "./wire.js";

const TYPING_REPEAT = 2000; // Milliseconds: somebody who types says so this often…
const TYPING_LIFETIME = 4000; // …and no longer counts as typing after this long.
const CATCH_UP_PAGES = 5;
const CATCH_UP_AGAIN = 2000;

const MESSAGE = `id author { id name isGuest } text picture sentAt`;
const BEGIN = `query Begin { me { id name isGuest } rooms { slug name topic } }`;
const HISTORY = `query History($room: ID!, $before: ID) {
  history(room: $room, before: $before) { hasEarlier messages { ${MESSAGE} } }
}`;
const SEND = `mutation Send($room: ID!, $text: String!) {
  sendMessage(room: $room, text: $text) { message { ${MESSAGE} } }
}`;
const SEND_PICTURE = `mutation SendPicture($room: ID!, $text: String!, $picture: Upload!) {
  sendMessage(room: $room, text: $text, picture: $picture) { message { ${MESSAGE} } }
}`;
const SET_TYPING = `mutation SetTyping($room: ID!) { setTyping(room: $room) { ok } }`;
const ON_MESSAGE = `subscription OnMessage($room: ID!) {
  onMessage(room: $room) { message { ${MESSAGE} } }
}`;
const ON_TYPING = `subscription OnTyping($room: ID!) {
  onTyping(room: $room) { author { id name } }
}`;

const settings = JSON.parse(document.getElementById("settings").textContent);
const find = (id) => document.getElementById(id);

const rooms = new Map();
let current = null;
let me = null;
let stopTyping = () => {};

const address = new URL(settings.endpoint, location.href);
address.protocol = address.protocol.replace("http", "ws");
const socket = new GraphQLSocket(address.href);
const conversation = new Conversation(
  { scroller: find("scroller"), list: find("messages"), outbox: find("outbox"), jump: find("jump") },
  () => current && markRead(current),
);

// Connection.

const STATUS = {
  connecting: "Connecting…",
  ready: "Live",
  waiting: "Reconnecting…",
  refused: "Disconnected",
};
const OFFLINE = "Not connected. What you write stays here, and can be sent when the connection is back.";
const REFUSED = "The server has closed the connection for good. Reload the page to go on.";
let wasLive = false;

function showStatus() {
  const { state } = socket;
  const again = wasLive && state === "connecting";
  find("status").dataset.state = again ? "waiting" : state;
  find("status-text").textContent = STATUS[again ? "waiting" : state];
  wasLive ||= state === "ready";
  showOffline(state === "refused" ? REFUSED : wasLive && state !== "ready" ? OFFLINE : "");
}

/** Say beside the text box why nothing can be sent; the lamp may be far away. */
function showOffline(text) {
  const hint = find("offline");
  if (!hint) return;
  hint.hidden = text === "";
  if (hint.textContent !== text) hint.textContent = text;
  find("keys").hidden = text !== "";
}

socket.addEventListener("state", () => {
  showStatus();
  if (socket.state === "ready") {
    if (rooms.size === 0) begin().catch(report);
  } else {
    for (const room of rooms.values()) fallBehind(room);
  }
  enableSending();
});

async function begin() {
  const answer = await socket.request(BEGIN);
  me = answer.me;
  conversation.myId = me?.id;
  for (const { slug, name, topic } of answer.rooms) {
    const room = {
      slug, name, topic,
      messages: new Map(), outbox: [], typing: new Map(),
      unread: 0, draft: "", live: false, loaded: false, hasEarlier: false,
      // Without a hole up to this message, once there was an outage; `null`: up to the newest.
      completeTo: null,
      // One after another: they must not change the same piece of history at once.
      loading: Promise.resolve(), isLoading: false,
    };
    rooms.set(slug, room);
    // Subscribed to all rooms, so that the list can show where something is going on.
    socket.subscribe(ON_MESSAGE, { room: slug }, {
      live: () => {
        room.live = true;
        if (room === current || room.loaded) catchUp(room);
      },
      next: ({ onMessage }) => take(room, [onMessage.message]),
      error: report,
    });
  }
  open(rooms.get(settings.room) ?? rooms.values().next().value);
}

function report(error) {
  // A lost connection is shown by the lamp, and subscriptions start again by themselves.
  if (socket.state === "ready") console.error(error);
}

// Messages.

/** Put messages where they belong; each is shown once, however often it arrives. */
function take(room, found, { history = false } = {}) {
  const newest = room.completeTo ?? newestId(room);
  for (const raw of found) {
    const id = Number(raw.id);
    if (room.messages.has(id)) continue;
    const message = { ...raw, id, sentAt: new Date(raw.sentAt) };
    room.messages.set(id, message);
    forgetTyping(room, message.author.id);
    const mine = message.author.id === me?.id;
    if (mine) settle(room, message);
    else if ((!history || (room.loaded && id > newest)) && !isRead(room)) room.unread += 1;
  }
  draw(room, { quietly: history && !room.loaded });
}

// A message of ours came back: it is not on its way any more.
function settle(room, message) {
  const sent = room.outbox.find((entry) => entry.text === message.text
    && Boolean(entry.picture) === Boolean(message.picture) && entry.after < message.id);
  if (sent) discard(room, sent);
}

/** What is said from now on is missed, until `catchUp`. */
function fallBehind(room) {
  room.live = false;
  if (room.loaded) room.completeTo ??= newestId(room);
  // Nobody has looked yet, so there is nothing to fill up: all is loaded when somebody does.
  else room.messages.clear();
}

/** Load what was said while there was no subscription: everything at first, the gap later on. */
async function catchUp(room) {
  try {
    await inTurn(room, () => loadMissed(room));
  } catch (error) {
    report(error);
    // Without a connection the next one brings us here again.
    if (room.live) setTimeout(() => room.live && catchUp(room), CATCH_UP_AGAIN);
  }
}

function inTurn(room, load) {
  const done = room.loading.then(async () => {
    room.isLoading = true;
    try {
      await load();
    } finally {
      room.isLoading = false;
    }
  });
  room.loading = done.catch(() => {});
  return done;
}

async function loadMissed(room) {
  const known = room.completeTo ?? newestId(room);
  let found = [];
  let page;
  let closed = false;
  for (let count = 0; !closed && count < CATCH_UP_PAGES; count += 1) {
    ({ history: page } = await socket.request(HISTORY, { room: room.slug, before: found[0]?.id }));
    found = [...page.messages, ...found];
    closed = !room.loaded || !page.hasEarlier || Number(found[0]?.id ?? 0) <= known;
  }
  if (!closed) {
    // Too much was missed: start again from the end rather than show a hole.
    for (const id of [...room.messages.keys()]) if (id <= known) room.messages.delete(id);
  }
  if (!room.loaded || !closed) room.hasEarlier = page.hasEarlier;
  take(room, found, { history: true });
  room.loaded = true;
  room.completeTo = null;
  draw(room, { quietly: true });
}

async function loadEarlier(room) {
  if (room.isLoading || !room.hasEarlier) return;
  await inTurn(room, async () => {
    const before = String(Math.min(...room.messages.keys()));
    const { history } = await socket.request(HISTORY, { room: room.slug, before });
    room.hasEarlier = history.hasEarlier;
    for (const raw of history.messages) {
      const id = Number(raw.id);
      room.messages.set(id, { ...raw, id, sentAt: new Date(raw.sentAt) });
    }
    draw(room, { quietly: true });
  });
}

function newestId(room) {
  return Math.max(0, ...room.messages.keys());
}

function discard(room, entry) {
  room.outbox.splice(room.outbox.indexOf(entry), 1);
  if (entry.preview) URL.revokeObjectURL(entry.preview);
}

async function send(room, text, picture) {
  const preview = picture && URL.createObjectURL(picture);
  const entry = { text, picture, preview, after: newestId(room), problem: null };
  room.outbox.push(entry);
  conversation.scrollToEnd();
  await deliver(room, entry);
}

async function deliver(room, entry) {
  entry.problem = null;
  draw(room);
  try {
    if (entry.picture?.size > settings.maxPictureBytes) throw new GraphQLErrors([{ message: "A picture has at most one megabyte." }]);
    const variables = { room: room.slug, text: entry.text };
    // A file goes by HTTP: a WebSocket would have to carry it as text, and let all else wait.
    const { sendMessage } = entry.picture
      ? await request(settings.endpoint, SEND_PICTURE, variables, { picture: entry.picture })
      : await socket.request(SEND, variables);
    take(room, [sendMessage.message]);
  } catch (error) {
    // If it was kept after all, the history that follows a reconnect brings it back.
    entry.problem = `Not sent. ${error.message}`;
    // What the server has refused it would refuse again.
    entry.mayPass = !(error instanceof GraphQLErrors);
    draw(room);
  }
}

// Typing.

function showsTyping(room, { id, name }) {
  clearTimeout(room.typing.get(id)?.timer);
  const timer = setTimeout(() => forgetTyping(room, id), TYPING_LIFETIME);
  room.typing.set(id, { name, timer });
  drawTyping(room);
}

function forgetTyping(room, id) {
  clearTimeout(room.typing.get(id)?.timer);
  if (room.typing.delete(id)) drawTyping(room);
}

function drawTyping(room) {
  if (room !== current) return;
  const names = [...room.typing.values()].map(({ name }) => name);
  let text = "";
  if (names.length === 1) text = `${names[0]} is typing…`;
  else if (names.length === 2) text = `${names[0]} and ${names[1]} are typing…`;
  else if (names.length > 2) text = `${names.length} people are typing…`;
  const line = find("typing");
  if (line.textContent === text) return;
  const dots = element("span", { class: "dots", "aria-hidden": "true" }, element("i"), element("i"), element("i"));
  line.replaceChildren(...(text ? [dots, text] : []));
}

// Rooms.

function open(room) {
  if (current) current.draft = find("text")?.value ?? "";
  stopTyping();
  for (const id of [...room.typing.keys()]) forgetTyping(room, id);
  current = room;
  stopTyping = socket.subscribe(ON_TYPING, { room: room.slug }, {
    next: ({ onTyping }) => showsTyping(room, onTyping.author),
    error: report,
  });
  find("room-name").textContent = room.name;
  find("room-topic").textContent = room.topic;
  find("wall").href = `/wall/${room.slug}/`;
  find("typing").replaceChildren();
  conversation.clear();
  restoreDraft(room);
  markRead(room);
  draw(room, { quietly: true });
  conversation.scrollToEnd();
  if (room.live && !room.loaded) catchUp(room);
}

function draw(room, options) {
  drawRooms();
  if (room !== current) return;
  const messages = [...room.messages.values()].sort((one, other) => one.id - other.id);
  find("earlier").hidden = !room.hasEarlier;
  find("empty").hidden = !room.loaded || messages.length > 0 || room.outbox.length > 0;
  conversation.show(messages, options);
  conversation.showOutbox(room.outbox, {
    retry: (entry) => deliver(room, entry),
    edit: (entry) => {
      discard(room, entry);
      draw(room);
      input.value = [entry.text, input.value].filter(Boolean).join("\n");
      fit();
      input.focus();
    },
    discard: (entry) => {
      discard(room, entry);
      draw(room);
    },
  });
}

function drawRooms() {
  const links = find("rooms");
  for (const room of rooms.values()) {
    const link = room.link ??= links.appendChild(element("li")).appendChild(roomLink(room));
    if (room === current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    const badge = link.querySelector(".badge");
    badge.hidden = room.unread === 0;
    badge.firstChild.textContent = room.unread > 99 ? "99+" : String(room.unread);
  }
  const unread = [...rooms.values()].reduce((sum, room) => sum + room.unread, 0);
  document.title = `${unread ? `(${unread}) ` : ""}${current?.name ?? "…"} · Parlour`;
}

function roomLink(room) {
  const link = element("a", { href: `/room/${room.slug}/` },
    element("span", { class: "name" }, room.name),
    element("span", { class: "badge", hidden: true }, element("span"), element("span", { class: "visually-hidden" }, " unread")));
  link.addEventListener("click", (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    if (room === current) return;
    history.pushState({ room: room.slug }, "", link.href);
    open(room);
    if (matchMedia("(pointer: fine)").matches) find("text")?.focus();
  });
  return link;
}

addEventListener("popstate", () => {
  const slug = location.pathname.match(/^\/room\/([^/]+)\/$/)?.[1];
  const room = slug ? rooms.get(slug) : rooms.values().next().value;
  if (room && room !== current) open(room);
});

function isRead(room) {
  return room === current && document.visibilityState === "visible" && conversation.pinned;
}

function markRead(room) {
  if (document.visibilityState !== "visible" || room.unread === 0) return;
  room.unread = 0;
  drawRooms();
}

document.addEventListener("visibilitychange", () => {
  if (current && conversation.pinned) markRead(current);
});

// Composer.

const form = find("composer");
const input = find("text");
const box = form && new PictureBox(
  { form, input: find("picture"), preview: find("preview"), maxBytes: settings.maxPictureBytes },
  enableSending,
);
let lastTyping = 0;

function enableSending() {
  if (input) find("send").disabled = socket.state !== "ready" || (input.value.trim() === "" && !box.picture);
}

function restoreDraft(room) {
  if (!input) return;
  input.value = room.draft;
  fit();
}

// `field-sizing: content` does this in newer browsers; setting the height does no harm there.
function fit() {
  input.style.height = "auto";
  input.style.height = `${input.scrollHeight}px`;
  const left = settings.maxLength - input.value.length;
  find("count").hidden = left > 200;
  find("count").textContent = `${left} left`;
  enableSending();
}

function sayTyping() {
  const now = performance.now();
  if (!current || socket.state !== "ready" || now - lastTyping < TYPING_REPEAT) return;
  lastTyping = now;
  socket.request(SET_TYPING, { room: current.slug }).catch(report);
}

form?.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = input.value.trim();
  if (!(text || box.picture) || !current || socket.state !== "ready") return;
  input.value = "";
  lastTyping = 0;
  fit();
  input.focus();
  send(current, text, box.take());
});
input?.addEventListener("input", () => {
  fit();
  if (input.value.trim()) sayTyping();
});
input?.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  form.requestSubmit();
});

// Start.

for (const avatar of document.querySelectorAll(".avatar[data-name]")) paintAvatar(avatar, avatar.dataset.name);
find("earlier").addEventListener("click", () => loadEarlier(current).catch(report));
new IntersectionObserver(([entry]) => {
  if (entry.isIntersecting && current) loadEarlier(current).catch(report);
}, { root: find("scroller") }).observe(find("earlier"));
showWire(socket, { panel: find("wire"), list: find("frames"), show: find("show-wire"), hide: find("hide-wire") });
socket.connect();
showStatus();
if (input && matchMedia("(pointer: fine)").matches) input.focus();
