import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker } from "node:worker_threads";

import { ModelFileError, RemoteTranslator, SelfTestError, Translator, UserError } from "../index.js";
import { fixture, modelOf, needsRuntime, onnxruntime } from "./fixtures.js";

const [{ model }] = fixture("translations");
const BYTES = modelOf(model);

/** A worker as pages have them. */
class PageWorker {
  constructor(kind = "translator", script = new URL("worker.js", import.meta.url)) {
    this.thread = new Worker(script, { workerData: kind });
    this.isEnded = new Promise((resolve) => this.thread.on("exit", resolve));
  }

  postMessage(message) {
    this.thread.postMessage(message);
  }

  addEventListener(type, listener) {
    if (type === "message") this.thread.on("message", (data) => listener({ data }));
    if (type === "error") this.thread.on("error", ({ message }) => listener({ message }));
  }

  terminate() {
    this.thread.terminate();
  }
}

function load(kind, options) {
  return RemoteTranslator.load(BYTES, { worker: new PageWorker(kind), ...options });
}

test("it gives what a translator gives", needsRuntime, async () => {
  const local = await Translator.load(BYTES, { onnxruntime: await onnxruntime() });
  const remote = await load("translator", { selfTest: true, threads: 1 });
  assert.equal(remote.hasAttention, local.hasAttention);
  assert.equal(remote.metadata.checksum, local.metadata.checksum);
  const options = { nBest: 2, alignments: true, protected: new Set(["two"]) };
  assert.deepEqual(await remote.translate("one two 3", options), await local.translate("one two 3", options));
  const texts = new Set(["12", "", "345"]);
  const strings = [["1"], [], new Set(["4"])];
  assert.deepEqual(
    await remote.translate(texts, { protected: strings }),
    await local.translate(texts, { protected: strings }),
  );
  await remote.selfTest();
  await local.dispose();
  await remote.dispose();
});

test("errors keep their class and their message", needsRuntime, async () => {
  const of = async (promise) => promise.then(assert.fail, (error) => [error.constructor, error.message]);
  const damaged = { worker: new PageWorker() };
  const [kind, message] = await of(RemoteTranslator.load(BYTES.subarray(0, -9), damaged));
  assert.equal(kind, ModelFileError);
  assert.match(message, /cut short/);
  assert.deepEqual(await of(load("selfTest")), [SelfTestError, "it differs"]);
  assert.deepEqual(await of(load("strange")), [Error, "undefined"]);
  assert.equal((await of(load("typeError")))[0], Error);
  const remote = await load();
  for (const [text, options] of [
    [5],
    [null],
    [["a", 1]],
    ["a", null],
    ["a", 5],
    ["a", { nbest: 1 }],
    ["a", { beam: "2" }],
  ]) {
    assert.equal((await of(remote.translate(text, options)))[0], UserError, String(text));
  }
  // What cannot be sent.
  for (const options of [{ beam: () => 1 }, { protected: [Symbol("a")] }, { signal: {} }]) {
    assert.equal((await of(remote.translate("a", options)))[0], UserError);
  }
  assert.ok((await remote.translate("12")).text); // and it goes on
  await remote.dispose();
});

test("a worker that is none, or is taken, is refused", needsRuntime, async () => {
  for (const options of [undefined, {}, { worker: null }, { worker: 5 }, { worker: {} }, { beam: 1 }, null]) {
    await assert.rejects(RemoteTranslator.load(BYTES, options), { name: "UserError" });
  }
  const worker = new PageWorker();
  const remote = await RemoteTranslator.load(BYTES, { worker });
  await assert.rejects(RemoteTranslator.load(BYTES, { worker }), { name: "UserError", message: /already/ });
  assert.ok((await remote.translate("12")).text);
  await remote.dispose();
});

test("a worker that fails rejects its calls, then and later", needsRuntime, async () => {
  const script = (code) => new URL(`data:text/javascript,${encodeURIComponent(code)}`);
  const worker = new PageWorker("", script("throw new Error('broken')"));
  await assert.rejects(RemoteTranslator.load(BYTES, { worker }), {
    name: "UserError",
    message: /worker has failed: broken/,
  });
  await worker.isEnded;
  const failing = new PageWorker(
    "",
    script(
      "import { parentPort } from 'node:worker_threads'; parentPort.on('message', " +
        "({ number, method }) => { if (method !== 'load') throw new Error('broken'); parentPort.postMessage({ number, value: {} }) })",
    ),
  );
  const broken = await RemoteTranslator.load(BYTES, { worker: failing });
  await assert.rejects(broken.translate("12"), { name: "UserError", message: /worker has failed: broken/ });
  await assert.rejects(broken.translate("12"), { name: "UserError", message: /worker has failed: broken/ });
  await broken.dispose();
});

test("dispose rejects what is pending and what comes later, and ends the worker", needsRuntime, async () => {
  const worker = new PageWorker();
  const remote = await RemoteTranslator.load(BYTES, { worker });
  const pending = assert.rejects(remote.translate("12 ".repeat(2000)), { name: "UserError", message: /disposed/ });
  await remote.dispose();
  await remote.dispose();
  await pending;
  await assert.rejects(remote.translate("12"), { name: "UserError", message: /disposed/ });
  await worker.isEnded;
});

test("a signal ends a call, and none stays behind it", needsRuntime, async () => {
  const controller = new AbortController();
  const { signal } = controller;
  let n = 0;
  const [add, remove] = [signal.addEventListener, signal.removeEventListener];
  signal.addEventListener = (...values) => (n++, add.apply(signal, values));
  signal.removeEventListener = (...values) => (n--, remove.apply(signal, values));
  const remote = await load("translator", { signal });
  for (let i = 0; i < 3; i++) await remote.translate("12", { signal });
  assert.equal(n, 0);
  const running = remote.translate(Array(200).fill("12"), { signal, batchSize: 1 });
  controller.abort(new Error("mine"));
  await assert.rejects(running, { message: "mine" });
  await assert.rejects(remote.translate("12", { signal }), { message: "mine" });
  assert.ok((await remote.translate("12")).text);
  await remote.dispose();

  const loading = load("silent", { signal: AbortSignal.timeout(50) });
  await assert.rejects(loading, { name: "TimeoutError" });
});
