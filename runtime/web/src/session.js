/** Read a Dragoman file, open it in ONNX Runtime, run it, and explain failures in one sentence. */

import { CONTRACTS } from "./contract.js";
import { ModelFileError, UserError, wholeNumber } from "./errors.js";
import { readMetadata } from "./metadata.js";

const MAX_THREADS = 1024;
const isNode = Boolean(globalThis.process?.versions?.node);

/**
 * Return the session and the metadata of a file for a task. Throws UserError.
 *
 * @param {string | URL | ArrayBuffer | Uint8Array | Blob | Response} source
 * @param {string} task
 * @param {{threads?: number, onProgress?: Function, signal?: AbortSignal, onnxruntime?: object}} options
 */
export async function openModel(source, task, { threads = 1, onProgress, signal, onnxruntime } = {}) {
  wholeNumber("threads", threads, 0, MAX_THREADS, "where 0 is one thread per core");
  const name = nameOf(source);
  const bytes = await read(source, name, onProgress, signal);
  try {
    const metadata = await readMetadata(bytes);
    if (metadata.task !== task) throw new ModelFileError(`the model was trained to ${metadata.task}, not to ${task}`);
    const session = await Session.open(bytes, task, threads, onnxruntime ?? (await defaultRuntime()));
    return { session, metadata };
  } catch (error) {
    if (!(error instanceof ModelFileError)) throw error;
    throw new ModelFileError(`${name}: ${error.message}`);
  }
}

function nameOf(source) {
  return typeof source === "string" || source instanceof URL ? String(source) : source?.url || "the model file";
}

/** Return the bytes of a file. Throws ModelFileError if it cannot be read, or ends early. */
async function read(source, name, onProgress, signal) {
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  if (ArrayBuffer.isView(source)) return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
  try {
    if (source instanceof Blob) return new Uint8Array(await source.arrayBuffer());
    if (source instanceof Response) return await body(source, onProgress);
    if (source && (typeof source === "string" || source instanceof URL)) {
      const isFile = isNode && !/^(https?|data|blob):/.test(String(source));
      if (isFile) return new Uint8Array(await (await import("node:fs/promises")).readFile(source, { signal }));
      return await body(await fetch(source, { signal }), onProgress);
    }
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ModelFileError(`cannot read ${name}: ${error.cause?.message || error.message}`);
  }
  throw new UserError("the model file is missing; give its URL or its bytes");
}

/** Return the body of a response. `onProgress` is called with the bytes that are here, and all or 0 if unknown. */
async function body(response, onProgress) {
  if (!response.ok) throw new Error(`the server answers with status ${response.status}`);
  // The length of a compressed answer is not that of the file.
  const isPlain = !response.headers.get("Content-Encoding");
  const total = isPlain ? Number(response.headers.get("Content-Length")) : 0;
  const chunks = [];
  let received = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
    received += value.length;
    onProgress?.(received, total);
  }
  if (received < total) throw new Error(`the connection broke off after ${received} of ${total} bytes; try again`);
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}

/** Return ONNX Runtime: in Node the native build if it is installed, else WebAssembly. */
async function defaultRuntime() {
  if (isNode) {
    try {
      return unwrapped(await import("onnxruntime-node"));
    } catch {
      // it is optional
    }
  }
  try {
    return unwrapped(await import("onnxruntime-web/wasm"));
  } catch (error) {
    throw new UserError(`onnxruntime-web is missing (${error.message}); install it, or give it as \`onnxruntime\``);
  }
}

function unwrapped(module) {
  return module.InferenceSession ? module : module.default;
}

/** A session of ONNX Runtime. Its runs follow one another, because WebAssembly has one memory. */
export class Session {
  #ort;
  #session;
  #last = Promise.resolve();

  constructor(ort, session) {
    this.#ort = ort;
    this.#session = session;
  }

  /** Return a session whose inputs and outputs are those of a task. Throws ModelFileError. */
  static async open(bytes, task, threads, ort) {
    if (ort.env?.wasm) ort.env.wasm.numThreads = threads; // 0 is the number of cores there, too
    const options = {
      intraOpNumThreads: threads, interOpNumThreads: 1, enableCpuMemArena: false, logSeverityLevel: 4,
    };
    let session;
    try {
      session = await ort.InferenceSession.create(bytes, options);
    } catch (error) {
      throw new ModelFileError(`onnxruntime cannot run this model: ${lastLine(error)}`);
    }
    const differences = [session.inputNames, session.outputNames].flatMap((given, i) => {
      const [side, required] = [["input", "output"][i], CONTRACTS[task][i]];
      return [
        ...required.filter((name) => !given.includes(name)).map((name) => `missing ${side} \`${name}\``),
        ...given.filter((name) => !required.includes(name)).map((name) => `unexpected ${side} \`${name}\``),
      ];
    });
    if (differences.length) {
      await session.release();
      const what = differences.join(", ");
      throw new ModelFileError(`the file does not match the tensor contract for the task \`${task}\`: ${what}`);
    }
    return new Session(ort, session);
  }

  /** Return the outputs, by name, for inputs, by name: [type, values, shape]. Throws UserError. */
  async run(inputs) {
    if (!this.#session) throw new UserError("the model is disposed; load it again");
    const tensors = Object.entries(inputs).map(([name, tensor]) => [name, new this.#ort.Tensor(...tensor)]);
    const run = this.#last.then(() => {
      if (!this.#session) throw new UserError("the model was disposed before this batch was computed");
      return this.#session.run(Object.fromEntries(tensors));
    });
    this.#last = run.then(
      () => {},
      () => {},
    );
    try {
      return await run;
    } catch (error) {
      if (error instanceof UserError) throw error;
      const sizes = Object.entries(inputs).map(([name, [, values, shape]]) => `${name} ${shape.join("x") || values[0]}`);
      throw new UserError(
        `ONNX Runtime could not compute this batch (${sizes.join(", ")}): ${lastLine(error)}; ` +
          "if memory ran out, use a smaller batch or beam",
      );
    }
  }

  /** Free the memory of the session, after the runs that have begun. */
  async dispose() {
    const session = this.#session;
    this.#session = null;
    await this.#last;
    await session?.release();
  }
}

function lastLine(error) {
  return String(error?.message ?? error).trim().split("\n").at(-1);
}
