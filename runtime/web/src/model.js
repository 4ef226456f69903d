/** A model that a file holds. */

import { ModelFileError, checkOptions } from "./errors.js";
import { openModel } from "./session.js";

const OPTIONS = ["threads", "selfTest", "onProgress", "signal", "onnxruntime"];

/** Base class of the models. A subclass has the static property `task` and the method `selfTest`. */
export class Model {
  constructor(session, metadata) {
    this.session = session;
    this.metadata = metadata;
  }

  /**
   * Load a model from a file. Rejects with ModelFileError if the file cannot be read, is damaged, holds another kind of
   * model, cannot run here, or fails its self-test; and with UserError for a wrong argument, or without ONNX Runtime.
   *
   * @param {string | URL | ArrayBuffer | Uint8Array | Blob | Response} source a URL, in Node also a path, or the bytes
   * @param {object} [options]
   * @param {number} [options.threads] of ONNX Runtime; 0 for one per core; default 1
   * @param {boolean} [options.selfTest] also check that the file gives the results that it gave at export
   * @param {(received: number, total: number) => void} [options.onProgress] while the file arrives; total may be 0
   * @param {AbortSignal} [options.signal]
   * @param {object} [options.onnxruntime] the module; default: onnxruntime-node, or onnxruntime-web
   */
  static async load(source, options = {}) {
    checkOptions(options, OPTIONS);
    const { name, session, metadata } = await openModel(source, this.task, options);
    try {
      const model = new this(session, metadata);
      if (options.selfTest) await model.selfTest();
      return model;
    } catch (error) {
      await session.dispose();
      if (error instanceof ModelFileError) error.message = `${name}: ${error.message}`;
      throw error;
    }
  }

  /** Free the memory of the model. Later calls are rejected. */
  async dispose() {
    await this.session.dispose();
  }
}
