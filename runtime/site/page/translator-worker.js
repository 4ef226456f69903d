/** The worker of a model. It fetches the model and ONNX Runtime from the site, and keeps the model for the next visit. */

import { ModelFileError, UserError } from "./dragoman/src/errors.js";
import { serve } from "./dragoman/src/serving.js";
import { Translator } from "./dragoman/src/translator.js";
import * as ort from "./onnxruntime/ort.js";

const CACHE = `dragoman ${new URL("../", import.meta.url)}`; // also in sw.js, which removes models that are out of date
const WASM = new URL("./onnxruntime/ort.wasm.gzip", import.meta.url);
const LONGEST_SILENCE = 30_000; // ms without a byte, after which the site counts as gone

/** Another model of the site than the page has asked for. */
class OtherModelError extends UserError {}

const runtime = loadRuntime();
runtime.catch(() => {}); // `load` throws it
serve(load);

/** Return a translator. The query of the URL has the checksum of the model. Throws UserError. */
async function load(url, { onProgress, ...options }) {
  const cache = await openCache();
  const kept = await cache?.match(url);
  // The browser may have an older file, or one that arrived damaged.
  for (const from of kept ? ["kept", "default", "reload"] : ["default", "reload"]) {
    const bytes = await (from === "kept" ? kept.arrayBuffer() : download(url, from, onProgress));
    onProgress(bytes.byteLength, 0);
    const onnxruntime = await runtime;
    try {
      const translator = await Translator.load(bytes, { ...options, onnxruntime });
      if (translator.metadata.checksum !== new URL(url).searchParams.get("sha256")) {
        await translator.dispose();
        throw new OtherModelError("the model on the site has changed; load the page again");
      }
      // If there is no room, the site has it.
      if (from !== "kept") await cache?.put(url, new Response(bytes)).catch(() => {});
      return translator;
    } catch (error) {
      const isFile = error instanceof ModelFileError || error instanceof OtherModelError;
      if (!isFile || from === "reload") throw error;
      if (from === "kept") await cache.delete(url);
    }
  }
}

/** Return the cache of the site, or nothing where the browser has none: in some private windows, and over plain HTTP. */
async function openCache() {
  try {
    return await caches.open(CACHE);
  } catch {
    return undefined;
  }
}

/** Return ONNX Runtime. Throws UserError. */
async function loadRuntime() {
  const unpacked = (cache) => download(WASM, cache, () => {}, new DecompressionStream("gzip"));
  ort.env.wasm.wasmBinary = await unpacked("default").catch(() => unpacked("reload"));
  return ort;
}

/**
 * Return the bytes of a file of the site, after a stream has transformed them. Throws UserError.
 *
 * `cache` is the mode of `fetch`. `onProgress` is called with the number of bytes so far.
 */
async function download(url, cache, onProgress, transform = new TransformStream()) {
  const { pathname } = new URL(url);
  const controller = new AbortController();
  let timer;
  const wait = () => {
    clearTimeout(timer);
    timer = setTimeout(() => controller.abort(), LONGEST_SILENCE);
  };
  let received = 0;
  const counter = new TransformStream({
    transform(chunk, stream) {
      wait();
      received += chunk.length;
      onProgress(received, 0);
      stream.enqueue(chunk);
    },
  });
  wait();
  try {
    const response = await fetch(url, { cache, signal: controller.signal }).catch(() => null);
    if (!response) throw new UserError("the site does not answer");
    if (!response.ok) throw new UserError(`the site answers with status ${response.status} for ${pathname}`);
    return await new Response(response.body.pipeThrough(counter).pipeThrough(transform)).arrayBuffer();
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`${pathname} arrives damaged or incomplete`);
  } finally {
    clearTimeout(timer);
  }
}
