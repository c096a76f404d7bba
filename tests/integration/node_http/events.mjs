// Drives the client of `graphql-sse`: a JSON value per line, and waits for a line of ours.

import { once } from "node:events";
import { createInterface } from "node:readline";
import { createClient } from "graphql-sse";

const [url, mode] = process.argv.slice(2);
const client = createClient({ url, singleConnection: mode === "single", retryAttempts: 0 });
const input = createInterface({ input: process.stdin });

const say = (value) => console.log(JSON.stringify(value));
const goOn = () => once(input, "line");

function start(query) {
  const results = [];
  let stop;
  const ended = new Promise((resolve, reject) => {
    stop = client.subscribe(
      { query },
      {
        next: (result) => {
          results.push(result);
          say({ next: result });
        },
        error: reject,
        complete: () => resolve(results),
      },
    );
  });
  return { ended, stop };
}

say({ query: await start("{ hello }").ended });
say({ mutation: await start('mutation { say(text: "tea") }').ended });
say({ invalid: await start("{ unknown }").ended });

// Ended by the server.
await start('subscription { onTick(group: "one") { number } }').ended;
say({ completed: true });

// Ended by the client, while another one goes on.
const other = start('subscription { onTick(group: "three") { number } }');
const mine = start('subscription { onTick(group: "two") { number } }');
await goOn();
mine.stop();
await mine.ended;
say({ stopped: true });
await other.ended;

// Ended by the end of everything, the request that would have ended the operation included.
start('subscription { onTick(group: "four") { number } }').ended.catch(() => {});
await goOn();
client.dispose();
say({ disposed: true });
input.close();
