/** A model that a file holds. */

import { openModel } from "./session.js";

/** Base class of the models. A subclass has the static property `task` and the method `selfTest`. */
export class Model {
  constructor(session, metadata) {
    this.session = session;
    this.metadata = metadata;
  }

  /**
   * Load a model from a file. Rejects with ModelFileError if the file cannot be read, is damaged, holds another kind of
   * model, cannot run here, or fails its self-test.
   *
   * @param {string | URL | ArrayBuffer | Uint8Array | Blob | Response} source a URL, in Node also a path, or the bytes
   * @param {object} [options]
   * @param {number} [options.threads] of ONNX Runtime; 0 for one per core; default 1
   * @param {boolean} [options.selfTest] also check that the file gives the results that it gave at export
   * @param {(received: number, total: number) => void} [options.onProgress] while the file arrives; total may be 0
   * @param {AbortSignal} [options.signal]
   * @param {object} [options.onnxruntime] the module; default: onnxruntime-node, or onnxruntime-web/wasm
   */
  static async load(source, { selfTest = false, ...options } = {}) {
    const { session, metadata } = await openModel(source, this.task, options);
    const model = new this(session, metadata);
    if (selfTest) await model.selfTest();
    return model;
  }

  /** Free the memory of the model. Later calls are rejected. */
  async dispose() {
    await this.session.dispose();
  }
}
