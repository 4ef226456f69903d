/** Answer the calls of a `RemoteTranslator` in its worker. */

import { Translator } from "./translator.js";

/**
 * Answer the calls of a `RemoteTranslator`, for the one translator that a worker holds. The script of the worker calls
 * this before it waits for anything, so that it misses no call.
 *
 * @param load returns a promise of a translator, and takes the arguments of `Translator.load`, which is the default
 */
export function serve(load = (source, options) => Translator.load(source, options)) {
  const controllers = new Map(); // by number of the call
  let translator;

  const methods = {
    async load(source, options, number) {
      const onProgress = (...progress) => postMessage({ number, progress });
      translator = await load(source, { ...options, onProgress, signal: controllers.get(number).signal });
      return translator.metadata;
    },
    translate(text, options, number) {
      return translator.translate(text, { ...options, signal: controllers.get(number).signal });
    },
    selfTest() {
      return translator.selfTest();
    },
  };

  addEventListener("message", async ({ data: { number, method, values } }) => {
    if (method === "abort") {
      controllers.get(number)?.abort();
      return;
    }
    controllers.set(number, new AbortController());
    try {
      postMessage({ number, value: await methods[method](...values, number) });
    } catch (error) {
      postMessage({ number, error: { name: error?.name, message: String(error?.message ?? error) } });
    } finally {
      controllers.delete(number);
    }
  });
}
