// A small client of the protocol graphql-transport-ws. For anything larger take npm's `graphql-ws`.

const room = document.body.dataset.room;
const list = document.getElementById("messages");
const status = document.getElementById("status");
const composer = document.getElementById("composer");

const FIELDS = "message { id author text }";
const SUBSCRIBE = `subscription ($room: String!) { onMessage(room: $room) { ${FIELDS} } }`;
const HISTORY = "query ($room: String!) { messages(room: $room) { id author text } }";
const SEND = `mutation ($room: String!, $text: String!) { sendMessage(room: $room, text: $text) { ${FIELDS} } }`;

let socket;
let operations = new Map();
let attempt = 0;

function connect() {
  socket = new WebSocket(`${location.origin.replace("http", "ws")}/graphql/`, "graphql-transport-ws");
  operations = new Map();
  socket.onopen = () => send({ type: "connection_init" });
  socket.onmessage = ({ data }) => receive(JSON.parse(data));
  socket.onclose = () => {
    status.textContent = "Connecting again…";
    attempt += 1;
    setTimeout(connect, Math.min(500 * 2 ** attempt, 8000) * Math.random());
  };
}

function receive({ type, id, payload }) {
  if (type === "connection_ack") {
    attempt = 0;
    status.textContent = "Live";
    // First subscribe, then load: nothing falls between the two.
    run(SUBSCRIBE, { room }, ({ onMessage }) => show(onMessage.message));
    run(HISTORY, { room }, ({ messages }) => messages.forEach(show));
  } else if (type === "ping") {
    send({ type: "pong" });
  } else if (type === "next" && payload.data) {
    operations.get(id)?.(payload.data);
  }
  const errors = type === "error" ? payload : payload?.errors;
  if (errors?.length) {
    status.textContent = errors.map(({ message }) => message).join(" ");
  }
}

function send(message) {
  socket.send(JSON.stringify(message));
}

function run(query, variables, next) {
  const id = String(operations.size + 1);
  operations.set(id, next);
  send({ type: "subscribe", id, payload: { query, variables } });
}

function show({ id, author, text }) {
  if (document.getElementById(`message-${id}`)) {
    return;
  }
  const item = document.createElement("li");
  const name = document.createElement("strong");
  item.id = `message-${id}`;
  name.textContent = author;
  item.append(name, `: ${text}`);
  // Messages of the history may come after newer ones.
  const later = [...list.children].find((each) => Number(each.id.split("-")[1]) > Number(id));
  list.insertBefore(item, later ?? null);
}

composer?.addEventListener("submit", (event) => {
  event.preventDefault();
  const input = document.getElementById("text");
  if (socket.readyState === WebSocket.OPEN) {
    run(SEND, { room, text: input.value }, () => {});
    input.value = "";
  }
});

connect();
