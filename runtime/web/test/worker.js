/**
 * A worker of tests, in a thread of Node that looks like a worker of a page. `workerData` says how it behaves.
 *
 * The test runner also runs this file by itself, where it does nothing.
 */

import { isMainThread, parentPort, workerData } from "node:worker_threads";

async function start() {
  globalThis.self = globalThis;
  globalThis.postMessage = (message) => parentPort.postMessage(message);
  const waiting = [];
  let listener = (event) => waiting.push(event);
  parentPort.on("message", (data) => listener({ data }));
  globalThis.addEventListener = (_, given) => {
    listener = given;
    waiting.splice(0).forEach(given);
  };

  const { Translator } = await import("../index.js");
  const { serve } = await import("../src/serving.js");
  const { SelfTestError } = await import("../src/errors.js");
  const { onnxruntime } = await import("./fixtures.js");

  const LOADS = {
    translator: async (source, options) => Translator.load(source, { ...options, onnxruntime: await onnxruntime() }),
    selfTest: () => Promise.reject(new SelfTestError("it differs")),
    strange: () => Promise.reject(undefined),
    typeError: () => null.name,
    silent: () => new Promise(() => {}),
  };
  serve(LOADS[workerData]);
}

if (!isMainThread) await start();
