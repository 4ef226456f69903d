/** A translator in a worker, so that a page responds while it translates. */

import { ModelFileError, SelfTestError, UserError, checkOptions, shown } from "./errors.js";

const OPTIONS = ["worker", "threads", "selfTest", "onProgress", "signal"];
const ERRORS = { UserError, ModelFileError, SelfTestError };

const usedWorkers = new WeakSet();

/** A translator that lives in a worker. It has the methods of `Translator`. */
export class RemoteTranslator {
  #worker;
  #calls = new Map(); // by number: {resolve, reject, onProgress}
  #number = 0;
  #failure = null; // why the worker is gone

  constructor(worker) {
    this.#worker = worker;
    worker.addEventListener("message", ({ data }) => this.#answer(data));
    worker.addEventListener("messageerror", () => this.#end(new UserError("the worker's answer cannot be read")));
    worker.addEventListener("error", (event) => {
      event.preventDefault?.();
      this.#end(new UserError(`the worker has failed: ${event.message || "its script cannot be loaded"}`));
    });
  }

  /**
   * Load a translator in a worker, which runs `worker.js` of this package and belongs to the translator. The options are
   * those of `Translator.load`, but for `onnxruntime`, which the worker imports. A relative URL is relative to the page.
   */
  static async load(source, options = {}) {
    checkOptions(options, OPTIONS);
    const { worker, onProgress, signal, ...others } = options;
    if (typeof worker?.postMessage !== "function") {
      throw new UserError(`worker is ${shown(worker)}; it must be a worker that runs dragoman/worker.js`);
    }
    if (usedWorkers.has(worker)) throw new UserError("the worker holds a translator already; give each its own");
    usedWorkers.add(worker);
    const remote = new RemoteTranslator(worker);
    try {
      remote.metadata = await remote.#call("load", [addressOf(source), others], { onProgress, signal });
    } catch (error) {
      remote.#end(error);
      throw error;
    }
    return remote;
  }

  /** True if the network has attention, which word alignments need. */
  get hasAttention() {
    return this.metadata.hasAttention;
  }

  /** Translate one text, or several; see `Translator.translate`. */
  async translate(text, options = {}) {
    checkOptions(options); // the worker knows their names
    const { signal, ...others } = options;
    return this.#call("translate", [copied(text), copied(others)], { signal });
  }

  /** Translate the test sentences in the file; see `Translator.selfTest`. */
  async selfTest() {
    return this.#call("selfTest", []);
  }

  /** End the worker. Calls that have no answer yet are rejected. */
  async dispose() {
    this.#end(new UserError("the model is disposed; load it again"));
  }

  async #call(method, values, { signal, onProgress } = {}) {
    signal?.throwIfAborted();
    if (this.#failure) throw this.#failure;
    const number = this.#number++;
    const answer = new Promise((resolve, reject) => this.#calls.set(number, { resolve, reject, onProgress }));
    const abort = () => {
      this.#worker.postMessage({ number, method: "abort" });
      this.#calls.get(number).reject(signal.reason);
    };
    signal?.addEventListener("abort", abort);
    try {
      this.#post({ number, method, values });
      return await answer;
    } finally {
      signal?.removeEventListener("abort", abort);
      this.#calls.delete(number);
    }
  }

  #post(message) {
    try {
      this.#worker.postMessage(message);
    } catch (error) {
      throw new UserError(`an argument cannot be sent to the worker: ${error.message}`);
    }
  }

  #answer({ number, value, error, progress }) {
    const call = this.#calls.get(number);
    if (!call) return; // it was aborted
    if (progress) call.onProgress?.(...progress);
    else if (error) call.reject(new (ERRORS[error.name] ?? Error)(error.message));
    else call.resolve(value);
  }

  /** End the worker, and reject calls with an error from now on. */
  #end(error) {
    this.#worker.terminate();
    this.#failure ??= error;
    for (const { reject } of this.#calls.values()) reject(error);
  }
}

/** Return the source of a model as a worker can find it: its own URL is another one. */
function addressOf(source) {
  if (typeof source !== "string" && !(source instanceof URL)) return source;
  const base = globalThis.document?.baseURI ?? globalThis.location?.href; // neither is in Node
  return String(base ? new URL(source, base) : source);
}

/** Return a value with arrays in place of other iterables, such as sets and generators, which cannot be sent. */
function copied(value) {
  if (value === null || typeof value !== "object" || ArrayBuffer.isView(value)) return value;
  if (typeof value[Symbol.iterator] === "function" && !(value instanceof String)) return Array.from(value, copied);
  const isPlain = Object.getPrototypeOf(value) === Object.prototype;
  return isPlain ? Object.fromEntries(Object.entries(value).map(([key, item]) => [key, copied(item)])) : value;
}
