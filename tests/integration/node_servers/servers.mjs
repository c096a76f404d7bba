// A server of npm: `node servers.mjs KIND [PORT]`. Says on a line of its own which port it has.
import { createServer } from "node:http";
import { buildSchema } from "graphql";

const schema = buildSchema(`
  scalar File
  input Point { x: Int!, y: Int }
  enum Color { RED, GREEN }
  type Query {
    hello(name: String): String!
    color(color: Color!): Color!
    sum(points: [Point!]!): Int!
    never: String
    broken: String
    header(name: String!): String
  }
  type Mutation { add(number: Int!): Int!, size(file: File!): Int! }
  type Subscription { count(to: Int!): Int!, forever: Int!, broken: Int! }
`);

let total = 0;
const stopped = [];

async function* count(to) {
  for (let number = 1; number <= to; number++) yield { count: number };
}

// Not a generator: one that waits cannot be told to stop.
function forever() {
  let number = 0;
  const iterator = {
    [Symbol.asyncIterator]: () => iterator,
    next: () =>
      number < 2
        ? Promise.resolve({ done: false, value: { forever: ++number } })
        : new Promise(() => {}),
    return: () => {
      stopped.push("forever");
      return Promise.resolve({ done: true, value: undefined });
    },
  };
  return iterator;
}

async function* broken() {
  yield { broken: 1 };
  throw new Error("It is broken");
}

const resolvers = {
  Query: {
    hello: (_, { name }) => (name === "stopped" ? stopped.join() : `Hello, ${name ?? "you"}`),
    color: (_, { color }) => color,
    sum: (_, { points }) => points.reduce((sum, { x, y }) => sum + x + (y ?? 0), 0),
    never: () => new Promise(() => {}),
    broken: () => {
      throw new Error("It is broken");
    },
    header: (_, { name }, context) => context.request?.headers.get(name) ?? null,
  },
  Mutation: {
    add: (_, { number }) => (total += number),
    size: async (_, { file }) => (await file.arrayBuffer()).byteLength,
  },
};
for (const [type, fields] of Object.entries(resolvers))
  for (const [name, resolve] of Object.entries(fields))
    schema.getType(type).getFields()[name].resolve = resolve;
const subscriptions = schema.getSubscriptionType().getFields();
subscriptions.count.subscribe = (_, { to }) => count(to);
subscriptions.forever.subscribe = () => forever();
subscriptions.broken.subscribe = () => broken();

const kinds = {
  async ws(port) {
    const { WebSocketServer } = await import("ws");
    const { useServer } = await import("graphql-ws/use/ws");
    const http = createServer();
    const onConnect = ({ connectionParams }) => connectionParams?.token !== "bad" && { welcome: connectionParams };
    useServer({ schema, onConnect }, new WebSocketServer({ server: http, path: "/graphql/" }), 200);
    return listen(http, port);
  },
  async sse(port) {
    const { createHandler } = await import("graphql-sse/lib/use/http");
    return listen(createServer(createHandler({ schema })), port);
  },
  async yoga(port) {
    const { createYoga } = await import("graphql-yoga");
    const yoga = createYoga({ schema, graphqlEndpoint: "/graphql/", batching: true, logging: false, maskedErrors: false });
    return listen(createServer(yoga), port);
  },
  async apollo(port) {
    const { ApolloServer } = await import("@apollo/server");
    const { startStandaloneServer } = await import("@apollo/server/standalone");
    const server = new ApolloServer({ schema, allowBatchedHttpRequests: true });
    const { url } = await startStandaloneServer(server, { listen: { port, host: "127.0.0.1" } });
    return Number(new URL(url).port);
  },
};

function listen(http, port) {
  return new Promise((resolve) => http.listen(port, "127.0.0.1", () => resolve(http.address().port)));
}

const [kind, port] = process.argv.slice(2);
console.log(JSON.stringify({ port: await kinds[kind](Number(port ?? 0)) }));
