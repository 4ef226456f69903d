/** What Node has and browsers do not: files, and builds of ONNX Runtime for Node. Bundlers for browsers leave it out. */

import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";

import { UserError } from "./errors.js";

export const cores = availableParallelism();

/** Return the bytes of a file, by its path or its URL. */
export async function bytesOf(source, signal) {
  const path = String(source).startsWith("file:") ? new URL(source) : source;
  return new Uint8Array(await readFile(path, { signal }));
}

/** Return the module of ONNX Runtime: the native build if it is installed, else WebAssembly. Throws UserError. */
export async function importRuntime() {
  try {
    return await import("onnxruntime-node");
  } catch (error) {
    // It is optional. A message that names its binary is of one that is installed.
    if (error.code === "ERR_DLOPEN_FAILED" || /onnxruntime_binding/.test(error.message)) {
      throw new UserError(
        `onnxruntime-node cannot be loaded (${error.message.split("\n")[0]}); install it again, or remove it`,
      );
    }
  }
  return import("onnxruntime-web");
}
