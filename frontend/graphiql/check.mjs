// Builds twice, and compares the results with each other and with the committed files.
import { createHash } from "node:crypto";
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { TARGET, buildInto } from "./build.mjs";

async function hashes(folder) {
  const found = new Map();
  for (const name of (await readdir(folder)).sort()) {
    const bytes = await readFile(path.join(folder, name));
    found.set(name, createHash("sha256").update(bytes).digest("hex"));
  }
  return found;
}

function differences(one, other) {
  const names = new Set([...one.keys(), ...other.keys()]);
  return [...names].filter((name) => one.get(name) !== other.get(name)).sort();
}

const scratch = await mkdtemp(path.join(os.tmpdir(), "graphiql-"));
try {
  const built = [];
  for (const name of ["first", "second"]) {
    const folder = path.join(scratch, name);
    await buildInto(folder);
    built.push(await hashes(folder));
  }
  const unsteady = differences(...built);
  const stale = differences(built[0], await hashes(TARGET));
  if (unsteady.length) {
    console.error(`Two builds differ in: ${unsteady.join(", ")}`);
  }
  if (stale.length) {
    console.error(`Not what a build writes, run \`node build.mjs\`: ${stale.join(", ")}`);
  }
  if (unsteady.length || stale.length) {
    process.exitCode = 1;
  } else {
    console.log(`${built[0].size} files are as committed`);
  }
} finally {
  await rm(scratch, { recursive: true, force: true });
}
