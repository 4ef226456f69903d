/** Read a Dragoman file, open it in ONNX Runtime, run it, and explain failures in one sentence. */

import { CONTRACTS } from "./contract.js";
import { ModelFileError, UserError, shown, wholeNumber } from "./errors.js";
import { readMetadata } from "./metadata.js";

const MAX_THREADS = 1024;
const isNode = Boolean(globalThis.process?.versions?.node);

/**
 * Return the name of a file, its session and its metadata, for a task. Throws UserError.
 *
 * @param {string | URL | ArrayBuffer | Uint8Array | Blob | Response} source
 * @param {string} task
 * @param {{threads?: number, onProgress?: Function, signal?: AbortSignal, onnxruntime?: object}} options
 */
export async function openModel(source, task, { threads = 1, onProgress, signal, onnxruntime }) {
  wholeNumber("threads", threads, 0, MAX_THREADS, "where 0 is one thread per core");
  if (onProgress !== undefined && typeof onProgress !== "function") {
    throw new UserError(`onProgress is ${shown(onProgress)}; it must be a function`);
  }
  if (onnxruntime !== undefined && !onnxruntime?.InferenceSession) {
    throw new UserError("onnxruntime is not ONNX Runtime; give the module, such as onnxruntime-web");
  }
  signal?.throwIfAborted();
  const name = nameOf(source);
  const bytes = await read(source, name, onProgress, signal);
  try {
    const metadata = await readMetadata(bytes);
    if (metadata.task !== task) throw new ModelFileError(`the model was trained to ${metadata.task}, not to ${task}`);
    const session = await Session.open(bytes, task, threads, onnxruntime ?? (await importRuntime()));
    return { name, session, metadata };
  } catch (error) {
    if (error instanceof ModelFileError) error.message = `${name}: ${error.message}`;
    throw error;
  }
}

function nameOf(source) {
  return typeof source === "string" || source instanceof URL ? String(source) : source?.url || "the model file";
}

/** Return the bytes of a file. Throws ModelFileError if it cannot be read, or ends early. */
async function read(source, name, onProgress, signal) {
  /** Return what a promise gives. */
  async function tried(promise) {
    try {
      return await promise;
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw unreadable(error.cause?.message || error.message);
    }
  }

  const unreadable = (reason) => new ModelFileError(`cannot read ${name}: ${reason}`);

  /** Return the body of a response. */
  async function body(response) {
    if (!response.ok) throw unreadable(`the server answers with status ${response.status}`);
    if (!response.body) throw unreadable("the server's answer is empty");
    // The length of a compressed answer is not that of the file.
    const isPlain = !response.headers.get("Content-Encoding");
    const total = isPlain ? Number(response.headers.get("Content-Length")) : 0;
    const reader = await tried((async () => response.body.getReader())()); // it may have been read
    const end = () => reader.cancel().catch(() => {}); // where it has failed, that is known
    signal?.addEventListener("abort", end);
    try {
      const chunks = [];
      for (let received = 0; ;) {
        const { done, value } = await tried(reader.read());
        signal?.throwIfAborted();
        if (done && received < total) {
          throw unreadable(`the connection broke off after ${received} of ${total} bytes; try again`);
        }
        if (done) return new Uint8Array(await new Blob(chunks).arrayBuffer());
        chunks.push(value);
        received += value.length;
        onProgress?.(received, total);
      }
    } finally {
      signal?.removeEventListener("abort", end);
      end(); // so that a server stops sending
    }
  }

  if (source instanceof ArrayBuffer) return tried((async () => new Uint8Array(source))());
  if (ArrayBuffer.isView(source)) return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
  if (source instanceof Blob) return new Uint8Array(await tried(source.arrayBuffer()));
  if (source instanceof Response) return body(source);
  if (!source || !(typeof source === "string" || source instanceof URL)) {
    throw new UserError(`the model file is ${shown(source)}; give its URL or its bytes`);
  }
  if (isNode && !/^(https?|data|blob):/i.test(String(source))) {
    return tried((await import("./node.js")).bytesOf(source, signal));
  }
  return body(await tried(fetch(source, { signal })));
}

/** Return ONNX Runtime. Throws UserError. */
async function importRuntime() {
  try {
    const module = isNode ? await (await import("./node.js")).importRuntime() : await import("onnxruntime-web/wasm");
    return module.InferenceSession ? module : module.default;
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`onnxruntime-web is missing (${error.message}); install it, or give it as \`onnxruntime\``);
  }
}

/** Return the threads for WebAssembly: at most one per core, and one in a page that cannot share memory with others. */
async function wasmThreads(threads) {
  if (!isNode && !globalThis.crossOriginIsolated) return 1;
  const cores = isNode ? (await import("./node.js")).cores : navigator.hardwareConcurrency;
  return Math.min(threads || cores, cores);
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
    if (ort.env?.wasm) ort.env.wasm.numThreads = await wasmThreads(threads); // counts when the first model is opened
    const options = { intraOpNumThreads: threads, interOpNumThreads: 1, enableCpuMemArena: false, logSeverityLevel: 4 };
    let session;
    try {
      session = await ort.InferenceSession.create(bytes, options);
    } catch (error) {
      if (/no available backend/.test(error?.message)) {
        throw new UserError(
          `ONNX Runtime cannot start: ${lastLine(error)}; load the page again, or start a new process`,
        );
      }
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

  /** Throw UserError if the session is closed. */
  check() {
    if (!this.#session) throw new UserError("the model is disposed; load it again");
  }

  /** Return the outputs, by name, for inputs, by name: [type, values, shape]. Throws UserError. */
  async run(inputs) {
    this.check();
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
      const sizes = Object.entries(inputs).map(
        ([name, [, values, shape]]) => `${name} ${shape.join("x") || values[0]}`,
      );
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
  return String(error?.message ?? error)
    .trim()
    .split("\n")
    .at(-1);
}
