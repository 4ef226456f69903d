// Run calls of a client of LibreTranslate, which stands in node_modules. See python_client.py for the input and output.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import net from "node:net";

const others = [];
const connect = net.Socket.prototype.connect;
let connections = 0;
net.Socket.prototype.connect = function (...args) {
  const options = Array.isArray(args[0]) ? args[0][0] : args[0];
  const host = (typeof options === "object" ? options.host : args[1]) ?? "localhost";
  if (!["127.0.0.1", "::1", "localhost"].includes(host)) {
    others.push(host);
    throw new Error(`${host} is another machine`);
  }
  connections += 1;
  return connect.apply(this, args);
};

const require = createRequire(import.meta.url);

const clients = {
  async translate(url, key) {
    const { Translate } = await import("translate");
    const client = Translate({ engine: "libre", url: `${url}/translate`, key: key ?? undefined });
    return (name, text, from, to) => client(text, { from, to });
  },

  async libretranslate(url, key) {
    const { translate } = require("libretranslate");
    return (name, query, source, target) => translate({ query, source, target, apiurl: url, apiKey: key ?? undefined });
  },

  async "libretranslate-ts"(url, key) {
    const { libreTranslate } = require("libretranslate-ts");
    libreTranslate.setApiEndpoint(url);
    libreTranslate.setApiKey(key ?? "");
    return (name, ...args) => libreTranslate[name](...args);
  },
};

const task = JSON.parse(readFileSync(0, "utf8"));
const call = await clients[task.client](task.url, task.key);
const one = async (name, args) => {
  try {
    return { value: (await call(name, ...args)) ?? null };
  } catch (error) {
    return { error: error.name, message: error.message };
  }
};
const answers = [];
for (const [name, ...args] of task.calls) {
  if (name === "at_once") {
    const [texts, ...languages] = args;
    answers.push({ value: await Promise.all(texts.map((text) => one("translate", [text, ...languages]))) });
  } else {
    answers.push(await one(name, args));
  }
}
console.log(JSON.stringify({ answers, others, connections }));
