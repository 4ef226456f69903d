/** A translator in a worker, so that a page responds while it translates. */

import * as errors from "./errors.js";

/** A translator that lives in a worker. It has the methods of `Translator`. */
export class RemoteTranslator {
  #worker;
  #calls = new Map(); // by number: {resolve, reject, onProgress}
  #number = 0;

  constructor(worker) {
    this.#worker = worker;
    worker.addEventListener("message", ({ data }) => this.#answer(data));
    worker.addEventListener("error", (event) => {
      event.preventDefault?.();
      this.#fail(new errors.UserError(`the worker has failed: ${event.message || "its script cannot be loaded"}`));
    });
  }

  /**
   * Load a translator in a worker, which runs `worker.js` of this package and belongs to the translator. The options are
   * those of `Translator.load`, but for `onnxruntime`, which the worker imports.
   */
  static async load(source, { worker, onProgress, signal, ...options }) {
    const remote = new RemoteTranslator(worker);
    try {
      remote.metadata = await remote.#call("load", [source, options], { onProgress, signal });
    } catch (error) {
      worker.terminate();
      throw error;
    }
    return remote;
  }

  /** Translate one text, or several; see `Translator.translate`. */
  translate(text, { signal, ...options } = {}) {
    return this.#call("translate", [typeof text === "string" ? text : errors.listOfTexts(text), options], { signal });
  }

  /** End the worker. Calls that have no answer yet are rejected. */
  async dispose() {
    this.#worker.terminate();
    this.#fail(new errors.UserError("the model is disposed; load it again"));
  }

  #call(method, values, { signal, onProgress } = {}) {
    return new Promise((resolve, reject) => {
      if (!this.#worker) throw new errors.UserError("the model is disposed; load it again");
      signal?.throwIfAborted();
      const number = this.#number++;
      this.#calls.set(number, { resolve, reject, onProgress });
      signal?.addEventListener("abort", () => {
        if (!this.#calls.delete(number)) return;
        this.#worker?.postMessage({ number, method: "abort" });
        reject(signal.reason);
      });
      this.#worker.postMessage({ number, method, values });
    });
  }

  #answer({ number, value, error, progress }) {
    const call = this.#calls.get(number);
    if (!call) return; // it was aborted
    if (progress) {
      call.onProgress?.(...progress);
      return;
    }
    this.#calls.delete(number);
    if (error) call.reject(new (errors[error.name] ?? Error)(error.message));
    else call.resolve(value);
  }

  #fail(error) {
    this.#worker = null;
    for (const { reject } of this.#calls.values()) reject(error);
    this.#calls.clear();
  }
}
