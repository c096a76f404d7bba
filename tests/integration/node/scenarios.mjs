// What a page does with the example. Prints what happened; the tests judge it.
//
//     node scenarios.mjs <client> <scenario> '{"url": …, "headers": …}'

import { connect } from "./clients.mjs";

const TEXT = "Grüße 🦉 \u2028 \"quoted\" </script>";
const ON_MESSAGE = "subscription ($room: ID!) { onMessage(room: $room) { message { text } } }";
const SEND = `mutation ($room: ID!, $text: String!) {
  sendMessage(room: $room, text: $text) { message { text author { name } } }
}`;

const HISTORY = `query ($room: ID!, $limit: Int!) {
  me { name }
  history(room: $room, limit: $limit) { messages { text } }
}`;

const room = "lobby";
const say = (client, text) => client.execute(SEND, { room, text });

const scenarios = {
  async query(open) {
    const client = open();
    const result = await client.execute(HISTORY, { room, limit: 1 });
    return { result, frames: client.frames };
  },

  async mutation(open) {
    return { said: TEXT, result: await say(open(), TEXT) };
  },

  async "invalid document"(open) {
    const client = open();
    const refused = await client.execute("{ nonsense, gibberish }");
    return { refused, afterwards: await client.execute("{ me { name } }") };
  },

  async "failing resolver"(open) {
    return { result: await say(open(), "   ") };
  },

  async "refused subscription"(open) {
    const client = open();
    const { confirmation } = await client.subscribe(ON_MESSAGE, { room: "nowhere" });
    return { first: confirmation, afterwards: await client.execute("{ me { name } }") };
  },

  async event(open) {
    const [listener, speaker] = [open(), open()];
    const { confirmation, heard } = await listener.subscribe(ON_MESSAGE, { room });
    await say(speaker, TEXT);
    return { said: TEXT, confirmation, event: await heard() };
  },

  async "own event"(open) {
    const client = open();
    const { heard } = await client.subscribe(ON_MESSAGE, { room });
    const [result, event] = await Promise.all([say(client, TEXT), heard()]);
    return { said: TEXT, result, event };
  },

  async "two subscriptions"(open) {
    const client = open();
    const first = await client.subscribe(ON_MESSAGE, { room });
    const second = await client.subscribe(ON_MESSAGE, { room });
    first.unsubscribe();
    await say(client, "after");
    return { event: await second.heard() };
  },

  async unsubscribe(open) {
    const [listener, witness] = [open(), open()];
    const subscription = await listener.subscribe(ON_MESSAGE, { room });
    const { heard } = await witness.subscribe(ON_MESSAGE, { room });
    await say(listener, "before");
    const events = [await subscription.heard(), await heard()];
    subscription.unsubscribe();
    // By the same connection, so behind the word that ends the subscription.
    await say(listener, "after");
    const witnessed = await heard();
    // The fence: whatever was on its way to the listener comes before this answer.
    const fence = await listener.execute("query Fence { __typename }");
    return { events, witnessed, fence, frames: listener.frames };
  },

  async "start at once"(open) {
    const client = open();
    const result = await client.execute("{ __typename }");
    return { result, frames: client.frames };
  },
};

const [, , clientName, scenario, connection] = process.argv;
const opened = [];
const open = () => {
  const client = connect(clientName, JSON.parse(connection));
  opened.push(client);
  return client;
};
console.log(JSON.stringify(await scenarios[scenario](open)));
for (const client of opened) client.close();
