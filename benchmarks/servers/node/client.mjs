// npm's `graphql-ws` as a client: what `client_side/driver.py` does.
//
//     node --expose-gc client.mjs iterate 127.0.0.1:8000 events 100 10000

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createClient } from "graphql-ws";
import WebSocket from "ws";

const [style, address, kind, operationsText, totalText] = process.argv.slice(2);
const operations = Number(operationsText);
const total = Number(totalText);

const ON_NEWS = "subscription OnNews { onNews { number title author { id name } tags isUrgent } }";
const NEWS = "query News($number: Int) { news(number: $number) { number title author { id name } } }";
const GO = "query Go($number: Int) { go(number: $number) { number } }";
const HOLD = "query Hold($number: Int) { hold(number: $number) { number } }";

const WAVES = 2000;

const client = createClient({ url: `ws://${address}/graphql/`, webSocketImpl: WebSocket, lazy: false });

// As in the recipes of its documentation.
function query(document, variables) {
  return new Promise((resolve, reject) => {
    let result;
    client.subscribe(
      { query: document, variables },
      { next: (data) => (result = data), error: reject, complete: () => resolve(result.data) },
    );
  });
}

function rssKib() {
  global.gc();
  return process.memoryUsage.rss() / 1024;
}

function cpuMicroseconds() {
  const { user, system } = process.cpuUsage();
  return user + system;
}

async function atOnce(document) {
  const variables = { number: operations };
  const answers = await Promise.all(Array.from({ length: operations }, () => query(document, variables)));
  if (!answers.every((answer) => answer.news.number === 1)) throw new Error("answers are wrong");
}

let events = 0;
let wanted = 0;
let reached = () => {};

function until(forEach) {
  wanted = forEach * operations;
  return new Promise((resolve) => {
    reached = resolve;
    if (events >= wanted) resolve();
  });
}

function taker() {
  let previous = -1;
  return (result) => {
    const { number } = result.data.onNews;
    if (number !== previous + 1 && number !== 0) throw new Error(`${number} came behind ${previous}`);
    previous = number;
    if (++events === wanted) reached();
  };
}

async function follow() {
  const take = taker();
  if (style === "iterate") {
    for await (const result of client.iterate({ query: ON_NEWS })) take(result);
  } else {
    client.subscribe({ query: ON_NEWS }, { next: take, error: fail, complete() {} });
  }
}

function fail(error) {
  throw error;
}

async function measureEvents() {
  const forEach = Math.max(1, Math.floor(total / operations));
  const warm = Math.max(1, Math.floor(forEach / 10));
  await query(NEWS, { number: 0 });
  const before = rssKib();
  for (let n = 0; n < operations; n++) follow().catch(fail);
  await until(1);
  const kib = (rssKib() - before) / operations;
  await query(GO, { number: warm });
  await until(1 + warm);
  global.gc();
  const began = cpuMicroseconds();
  await query(GO, { number: forEach });
  await until(1 + warm + forEach);
  return { "µs": (cpuMicroseconds() - began) / (forEach * operations), KiB: kib };
}

async function measureQueries() {
  await query(NEWS, { number: 0 });
  const before = rssKib();
  await atOnce(HOLD);
  const kib = (process.resourceUsage().maxRSS - before) / operations;
  const waves = Math.max(1, Math.min(WAVES, Math.floor(total / operations)));
  await atOnce(NEWS);
  global.gc();
  const began = cpuMicroseconds();
  for (let n = 0; n < waves; n++) await atOnce(NEWS);
  return { "µs": (cpuMicroseconds() - began) / (waves * operations), KiB: kib };
}

const require = createRequire(import.meta.url);
const versionOf = (name) => JSON.parse(readFileSync(require.resolve(name).replace(/(.*node_modules\/[^/]+).*/, "$1/package.json"))).version;

const figures = await (kind === "events" ? measureEvents() : measureQueries());
const versions = { node: process.versions.node, "graphql-ws": versionOf("graphql-ws"), ws: versionOf("ws") };
process.stdout.write(`${JSON.stringify({ figures, versions })}\n`, () => process.exit(0));
