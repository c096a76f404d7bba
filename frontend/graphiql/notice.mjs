// Lists the packages in the bundles, and their licences.
import { readFile, readdir } from "node:fs/promises";
import path from "node:path";

const LICENCE_FILE = /^(licen[cs]e|copying|notice|third-?party-?notices)(\.|-|$)/i;

// Packages which say "MIT" and ship no text are parts of repositories whose text another package ships.
const SAME_REPOSITORY = [
  [/^@graphiql\//, "graphiql"],
  [/^react-compiler-runtime$/, "react"],
  [/^react-remove-scroll-bar$/, "react-remove-scroll"],
];

const FONTS = `Fonts, as embedded in the style sheet of the package graphiql

  Roboto          Copyright 2011 Google Inc. Licensed under the Apache License, Version 2.0, see below.
  Fira Code       Copyright 2014-2020 The Fira Code Project Authors. Licensed under the SIL Open Font License,
                  Version 1.1, see below.
  Codicons        Copyright Microsoft Corporation. Part of monaco-editor; Creative Commons Attribution 4.0.
`;

async function packageOf(root, input) {
  const parts = input.split("/");
  const start = parts.lastIndexOf("node_modules");
  if (start < 0) {
    return null;
  }
  const length = parts[start + 1].startsWith("@") ? 3 : 2;
  const folder = path.join(root, ...parts.slice(0, start + length));
  const description = JSON.parse(await readFile(path.join(folder, "package.json"), "utf8"));
  return { folder, name: description.name, version: description.version, license: description.license };
}

async function texts(folder) {
  const names = (await readdir(folder)).filter((name) => LICENCE_FILE.test(name)).sort();
  const contents = names.map((name) => readFile(path.join(folder, name), "utf8"));
  return (await Promise.all(contents)).map((text) => text.replaceAll("\r\n", "\n").trim());
}

async function textsOf(root, each) {
  const own = await texts(each.folder);
  if (own.length) {
    return own;
  }
  const [, relative] = SAME_REPOSITORY.find(([pattern]) => pattern.test(each.name)) ?? [];
  if (relative === undefined) {
    throw new Error(`${each.name} has no text of its licence`);
  }
  return texts(path.join(root, "node_modules", relative));
}

async function packagesIn(root, inputs) {
  const found = new Map();
  for (const input of inputs) {
    const each = await packageOf(root, input);
    if (each !== null) {
      found.set(`${each.name} ${each.version}`, each);
    }
  }
  return [...found.keys()].sort().map((key) => found.get(key));
}

/** Give the text of NOTICE.txt for the inputs of a bundle, as esbuild's metafile names them. */
export async function notice(root, inputs) {
  const packages = await packagesIn(root, inputs);
  const owners = new Map();
  for (const each of packages) {
    if (!each.license) {
      throw new Error(`${each.name} names no licence`);
    }
    for (const text of await textsOf(root, each)) {
      owners.set(text, [...(owners.get(text) ?? []), `${each.name} ${each.version}`]);
    }
  }
  const ofl = await readFile(path.join(root, "licences/OFL-1.1.txt"), "utf8");
  const list = packages.map((each) => `  ${each.name} ${each.version}: ${each.license}`);
  const sections = [...owners].map(([text, names]) => `${names.join(", ")}\n\n${text}`);
  sections.push(`Fira Code\n\n${ofl.trim()}`);
  const rule = `\n\n${"-".repeat(80)}\n\n`;
  const head = `The files of this folder contain the following packages.\n\n${list.join("\n")}\n\n${FONTS}`;
  return [head.trimEnd(), ...sections].join(rule) + "\n";
}
