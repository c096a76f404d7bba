// The same schema with the npm packages graphql-ws, ws and graphql, as their documentation has it.
//
// The first line of stdout is a JSON object with the port and the versions, as in `launch.py`.
// Arguments: the file `events.json` with the documents' data, which `environments.py` writes.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { buildSchema } from 'graphql';
import { useServer } from 'graphql-ws/use/ws';
import { WebSocketServer } from 'ws';

const { items, selectedOneIn } = JSON.parse(readFileSync(process.argv[2], 'utf8'));

const FIELDS = 'seq: Int!, text: String!, flag: Boolean!, ratio: Float!';
const schema = buildSchema(`
  type Event { ${FIELDS} }
  type Item { id: Int!, name: String!, price: Float!, active: Boolean!, note: String }
  type Query { items: [Item!]! }
  type Subscription {
    onEvent: Event
    onPersonal(client: Int!): Event
    onSelected(client: Int!): Event
    onRoom(room: Int!): Event
  }
`);

// A publisher without a package, which costs less than those on npm.
const groups = new Map();

function publish(group, payload) {
  for (const push of groups.get(group) ?? []) push(payload);
}

function listen(field, group, wants = () => true) {
  const queue = [];
  let wake = null;
  let over = false;
  const push = (payload) => {
    if (!wants(payload)) return;
    const result = { value: { [field]: payload }, done: false };
    if (wake) {
      const resolve = wake;
      wake = null;
      resolve(result);
    } else queue.push(result);
  };
  const members = groups.get(group) ?? new Set();
  groups.set(group, members.add(push));
  // The load generator wants to know when it is subscribed.
  queue.push({ value: { [field]: event(-1) }, done: false });
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    next() {
      if (queue.length) return Promise.resolve(queue.shift());
      if (over) return Promise.resolve({ value: undefined, done: true });
      return new Promise((resolve) => {
        wake = resolve;
      });
    },
    return() {
      over = true;
      members.delete(push);
      if (!members.size && groups.get(group) === members) groups.delete(group);
      wake?.({ value: undefined, done: true });
      return Promise.resolve({ value: undefined, done: true });
    },
  };
}

function event(seq, size = 0) {
  return {
    seq,
    text: `event number ${String(seq).padStart(8, '0')}`.padEnd(size, '.'),
    flag: seq % 2 === 0,
    ratio: (2 * seq + 1) / 16,
  };
}

const fields = schema.getSubscriptionType().getFields();
fields.onEvent.subscribe = () => listen('onEvent', 'OnEvent');
fields.onPersonal.subscribe = () => listen('onPersonal', 'OnPersonal');
fields.onSelected.subscribe = (_, { client }) =>
  listen('onSelected', 'OnSelected', ({ seq }) => seq < 0 || (seq - client) % selectedOneIn === 0);
fields.onRoom.subscribe = (_, { room }) => listen('onRoom', `OnRoom.${room}`);
schema.getQueryType().getFields().items.resolve = () => items;

// The door for the load generator, as in `control.py`.
function fire({ operation, first, count, rooms, size }) {
  for (let seq = first; seq < first + count; seq += 1) {
    if (rooms) for (let room = 0; room < rooms; room += 1) publish(`${operation}.${room}`, event(seq, size));
    else publish(operation, event(seq, size));
  }
}

const server = createServer((request, response) => {
  let body = '';
  request.on('data', (chunk) => {
    body += chunk;
  });
  request.on('end', () => {
    const order = JSON.parse(body);
    if (order.action === 'fire') fire(order);
    else globalThis.gc?.();
    response.setHeader('content-length', 2);
    response.end('ok');
  });
});
server.keepAliveTimeout = 600_000;

useServer({ schema }, new WebSocketServer({ server, path: '/graphql/' }), 0);

server.listen({ port: 0, host: '127.0.0.1', backlog: 2048 }, () => {
  const lock = JSON.parse(readFileSync(new URL('package-lock.json', import.meta.url), 'utf8'));
  const versions = { node: process.versions.node };
  for (const name of ['graphql', 'graphql-ws', 'ws']) {
    versions[name] = lock.packages[`node_modules/${name}`].version;
  }
  console.log(JSON.stringify({ port: server.address().port, package: import.meta.url, versions }));
});
process.on('SIGTERM', () => process.exit(0));
