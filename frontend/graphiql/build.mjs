// Bundles GraphiQL and its workers into the files that the Python package ships.
//
//     npm ci && node build.mjs [target folder]
//
// The same inputs give the same bytes; `check.mjs` checks it.
import { createHash } from "node:crypto";
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

import { notice } from "./notice.mjs";

const HERE = path.dirname(fileURLToPath(import.meta.url));
export const TARGET = path.resolve(HERE, "../../channels_graphql_ws/static/channels_graphql_ws/graphiql");

const ENTRIES = {
  graphiql: "./entry.jsx",
  "editor.worker": "monaco-editor/esm/vs/editor/editor.worker.js",
  "graphql.worker": "monaco-graphql/esm/graphql.worker.js",
  "json.worker": "monaco-editor/esm/vs/language/json/json.worker.js",
};

const EXTENSIONS = {
  "font/ttf": "ttf",
  "font/woff": "woff",
  "font/woff2": "woff2",
  "image/png": "png",
  "image/svg+xml": "svg",
};
const DATA_URL = /url\(\s*(["']?)data:([\w/+.-]+);base64,([A-Za-z0-9+/=]+)\1\s*\)/g;

// `default-src 'self'` allows no `data:` URL, so fonts and pictures become files. A browser then also fetches
// only those that the page needs.
function filesOfStyles(emitted) {
  const emit = (type, content) => {
    const extension = EXTENSIONS[type];
    if (extension === undefined) {
      throw new Error(`a style has a ${type}, for which there is no file name extension`);
    }
    const bytes = Buffer.from(content, "base64");
    const name = `${createHash("sha256").update(bytes).digest("hex").slice(0, 12)}.${extension}`;
    emitted.set(name, bytes);
    return `url("./${name}")`;
  };
  return {
    name: "files-of-styles",
    setup(plugins) {
      plugins.onResolve({ filter: /\.(ttf|woff2?|png|svg)$/ }, ({ path: name, kind }) =>
        kind === "url-token" ? { path: name, external: true } : undefined,
      );
      // The style sheet of GraphiQL has them already.
      plugins.onLoad({ filter: /[\\/]monaco-editor[\\/].*\.css$/ }, () => ({ contents: "", loader: "css" }));
      plugins.onLoad({ filter: /\.css$/ }, async ({ path: name }) => {
        const text = await readFile(name, "utf8");
        const contents = text.replaceAll(DATA_URL, (_, quote, type, data) => emit(type, data));
        return { contents, loader: "css" };
      });
    },
  };
}

// Monaco underlines mistakes with pictures from `data:` URLs; a policy allows gradients.
const UNDERLINE = /background: url\("data:image\/svg\+xml,\$\{get(Squiggly|DotDotDot)SVGData\((\w+)\)\}"\)[^;]*;/g;
const UNDERLINES = 4;

function underline(shape, color) {
  const at = "0 100% / 6px 3px repeat-x";
  const up = `linear-gradient(135deg, #0000 26%, \${${color}} 30% 37%, #0000 41%) ${at}`;
  const down = `linear-gradient(45deg, #0000 59%, \${${color}} 63% 70%, #0000 74%) ${at}`;
  const dots = `radial-gradient(circle at 1px 2px, \${${color}} 1px, #0000 1.5px) ${at}`;
  return `background: ${shape === "Squiggly" ? `${up}, ${down}` : dots};`;
}

const underlinesWithoutPictures = {
  name: "underlines-without-pictures",
  setup(plugins) {
    plugins.onLoad({ filter: /[\\/]codeEditorWidget\.js$/ }, async ({ path: name }) => {
      let count = 0;
      const text = await readFile(name, "utf8");
      const contents = text.replaceAll(UNDERLINE, (_, shape, color) => {
        count += 1;
        return underline(shape, color);
      });
      if (count !== UNDERLINES) {
        throw new Error(`Monaco has ${count} underlines, not ${UNDERLINES}: look at them again`);
      }
      return { contents, loader: "js" };
    });
  },
};

// The copy of DOMPurify that Monaco brings along has known holes; this is the package's own release, which
// `npm audit` knows by name.
const currentDomPurify = {
  name: "current-dompurify",
  setup(plugins) {
    let count = 0;
    plugins.onLoad({ filter: /[\\/]monaco-editor[\\/].*[\\/]dompurify\.js$/ }, () => {
      count += 1;
      const contents = `
        import purify from "dompurify";
        export default purify;
        export const { addHook, isSupported, removeHook, sanitize, version } = purify;
      `;
      return { contents, loader: "js", resolveDir: HERE };
    });
    plugins.onEnd(() => {
      if (count !== 1) {
        throw new Error(`Monaco has ${count} copies of DOMPurify, not one: look at them again`);
      }
    });
  },
};

async function bundle(emitted) {
  const result = await build({
    absWorkingDir: HERE,
    entryPoints: ENTRIES,
    outdir: "out",
    bundle: true,
    minify: true,
    format: "iife",
    target: ["es2022"],
    metafile: true,
    write: false,
    charset: "utf8",
    jsx: "automatic",
    legalComments: "linked",
    define: { "process.env.NODE_ENV": '"production"' },
    plugins: [filesOfStyles(emitted), underlinesWithoutPictures, currentDomPurify],
    logLevel: "warning",
  });
  for (const { path: name, contents } of result.outputFiles) {
    emitted.set(path.basename(name), Buffer.from(contents));
  }
  return result.metafile;
}

export async function buildInto(target) {
  const emitted = new Map();
  const metafile = await bundle(emitted);
  emitted.set("favicon.svg", await readFile(path.join(HERE, "favicon.svg")));
  emitted.set("NOTICE.txt", Buffer.from(await notice(HERE, Object.keys(metafile.inputs))));
  await rm(target, { recursive: true, force: true });
  await mkdir(target, { recursive: true });
  for (const [name, contents] of emitted) {
    await writeFile(path.join(target, name), contents);
  }
  return (await readdir(target)).sort();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const target = process.argv[2] ? path.resolve(process.argv[2]) : TARGET;
  const names = await buildInto(target);
  console.log(`${names.length} files in ${path.relative(process.cwd(), target)}`);
}
