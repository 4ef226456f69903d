/** The worker of a model. It fetches the model and ONNX Runtime from the site, and keeps the model for the next visit. */

import { UserError } from "./dragoman/src/errors.js";
import { serve } from "./dragoman/src/serving.js";
import { Translator } from "./dragoman/src/translator.js";
import * as ort from "./onnxruntime/ort.js";

const CACHE = `dragoman ${new URL("./", import.meta.url)}`; // also in sw.js, which removes models that are out of date
const WASM = new URL("./onnxruntime/ort.wasm.gzip", import.meta.url);

const runtime = loadRuntime();
runtime.catch(() => {}); // `load` throws it
serve(load);

/** Return a translator. The query of the URL has the checksum of the model. Throws UserError. */
async function load(url, { onProgress, ...options }) {
  const cache = await openCache();
  const kept = await cache?.match(url);
  try {
    const bytes = await (kept ? kept.arrayBuffer() : download(url, counter(onProgress)));
    onProgress(bytes.byteLength, 0);
    const translator = await Translator.load(bytes, { ...options, onnxruntime: await runtime });
    if (translator.metadata.checksum !== new URL(url).searchParams.get("sha256")) {
      throw new UserError("the site has another one by now; load the page again");
    }
    if (!kept) await cache?.put(url, new Response(bytes)).catch(() => {}); // if there is no room, the site has it
    return translator;
  } catch (error) {
    if (kept) await cache.delete(url);
    throw error;
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
  ort.env.wasm.wasmBinary = await download(WASM, new DecompressionStream("gzip"));
  return ort;
}

/** Return the bytes of a file of the site, after a stream has transformed them. Throws UserError. */
async function download(url, transform) {
  const { pathname } = new URL(url);
  const response = await fetch(url).catch(() => null);
  if (!response) throw new UserError("the site does not answer");
  if (!response.ok) throw new UserError(`the site answers with status ${response.status} for ${pathname}`);
  try {
    return await new Response(response.body.pipeThrough(transform)).arrayBuffer();
  } catch {
    throw new UserError(`${pathname} arrives damaged or incomplete`);
  }
}

/** Return a stream that lets all bytes pass and calls a function with their number so far. */
function counter(onProgress) {
  let received = 0;
  return new TransformStream({
    transform(chunk, controller) {
      received += chunk.length;
      onProgress(received, 0);
      controller.enqueue(chunk);
    },
  });
}
