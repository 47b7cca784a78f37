// Requires packages of layers one by one and prints a line of JSON about each. Runs inside a sandbox.
//
// All in one process, since starting one takes longer than most packages: one that ends it is found out by the line
// that is missing, and the server starts another process behind it.
"use strict";
const fs = require("node:fs");
const os = require("node:os");
const { createRequire } = require("node:module");
const { pathToFileURL } = require("node:url");

const TEXT = 1000;
const nonce = process.env.LAMELLA_PROBE_NONCE;
delete process.env.LAMELLA_PROBE_NONCE;
// What packages may replace is fetched before the first of them.
const { stringify } = JSON;
const { writeSync } = fs;
const { exit } = process;
const load = createRequire("/var/task/lamella-probe-node.cjs");
const say = (members) => writeSync(1, stringify({ nonce, ...members }) + "\n");

const names = JSON.parse(fs.readFileSync("/var/task/plan.json", "utf8")).node;
const search = (process.env.NODE_PATH || "").split(":").filter((path) => path.startsWith("/opt/"));

function failure(error) {
  const text = String((error && error.message) || error).split("\n");
  const found = /Cannot find (?:module|package) '([^']{1,200})'/.exec(text[0]);
  const stack = /(\/opt\/[^\s()]{1,300}:\d+)/.exec(String((error && error.stack) || ""));
  return {
    outcome: "failed",
    error: `${(error && error.name) || "Error"}: ${text[0]}`.slice(0, TEXT),
    missing: found && !found[1].startsWith("/") && !found[1].startsWith(".") ? found[1] : "",
    at: stack ? stack[1] : "",
  };
}

// Modules of the new kind are not looked for on NODE_PATH; from beside a link to `node_modules` they are found, and
// what they import in turn is found where the package really lies.
async function importOne(name) {
  if (name.startsWith("/")) return import(pathToFileURL(name).href);
  for (const [number, directory] of search.entries()) {
    if (!fs.existsSync(`${directory}/${name}`)) continue;
    const root = `/tmp/.lamella-probe-${number}`;
    if (!fs.existsSync(root)) {
      fs.mkdirSync(root);
      fs.symlinkSync(directory, `${root}/node_modules`);
      fs.writeFileSync(`${root}/import.mjs`, "export default (name) => import(name);");
    }
    const { default: importer } = await import(pathToFileURL(`${root}/import.mjs`).href);
    return importer(name);
  }
  throw new Error(`Cannot find package '${name}'`);
}

const NEW_KIND = new Set(["ERR_REQUIRE_ESM", "ERR_REQUIRE_ASYNC_MODULE", "ERR_PACKAGE_PATH_NOT_EXPORTED"]);

async function attempt(name) {
  try {
    load(name);
    return { outcome: "ok" };
  } catch (error) {
    if (!NEW_KIND.has(error && error.code) && !(error instanceof SyntaxError)) return failure(error);
  }
  try {
    await importOne(name);
    return { outcome: "ok" };
  } catch (error) {
    // It has parts that can be imported, and is none by itself.
    if (error && error.code === "ERR_PACKAGE_PATH_NOT_EXPORTED") return { outcome: "skipped" };
    return failure(error);
  }
}

(async () => {
  // What an earlier package still does by itself is not the fault of the one that is being tried.
  process.on("uncaughtException", () => {});
  process.on("unhandledRejection", () => {});
  os.setPriority(10);
  for (let index = Number(process.argv[2]); index < names.length; index++) {
    say({ event: "begin", index });
    say({ event: "end", index, ...(await attempt(names[index])) });
  }
  exit(0);
})();
