/**
 * Bergamot in a worker, for bench/browser.py: Marian compiled to WebAssembly, one thread, with its own kernels for 8-bit
 * products, as npm's package runs it outside Firefox.
 *
 * The folder of this script holds the package's two files, and `model`, `vocabulary` and `shortlist` of
 * bench/marian_model.py. Each message has texts; the first one also the model's `options`. The answer has the
 * milliseconds and the translation of each text.
 */

const FALLBACKS = {
  int8_prepare_a: "int8PrepareAFallback",
  int8_prepare_b: "int8PrepareBFallback",
  int8_prepare_b_from_transposed: "int8PrepareBFromTransposedFallback",
  int8_prepare_b_from_quantized_transposed: "int8PrepareBFromQuantizedTransposedFallback",
  int8_prepare_bias: "int8PrepareBiasFallback",
  int8_multiply_and_add_bias: "int8MultiplyAndAddBiasFallback",
  int8_select_columns_of_b: "int8SelectColumnsOfBFallback",
};

let service, model;

function loaded() {
  return new Promise((resolve, reject) => {
    const names = Object.entries(FALLBACKS);
    const wasm_gemm = Object.fromEntries(names.map(([name, own]) => [name, (...values) => Module.asm[own](...values)]));
    self.Module = {
      instantiateWasm(imports, accept) {
        WebAssembly.instantiateStreaming(fetch("bergamot-translator-worker.wasm"), { ...imports, wasm_gemm })
          .then(({ instance }) => accept(instance))
          .catch(reject);
        return {};
      },
      onRuntimeInitialized: resolve,
    };
    importScripts("bergamot-translator-worker.js");
  });
}

/** Return the bytes of a file in Marian's memory. */
async function memory(name, alignment) {
  const bytes = new Int8Array(await (await fetch(name)).arrayBuffer());
  const aligned = new Module.AlignedMemory(bytes.byteLength, alignment);
  aligned.getByteArrayView().set(bytes);
  return aligned;
}

async function load(options) {
  await loaded();
  service = new Module.BlockingService({ cacheSize: 0 });
  const vocabularies = new Module.AlignedMemoryList();
  vocabularies.push_back(await memory("vocabulary", 64));
  model = new Module.TranslationModel(
    options,
    await memory("model", 256),
    await memory("shortlist", 64),
    vocabularies,
    null,
  );
}

function translate(text) {
  const [input, options] = [new Module.VectorString(), new Module.VectorResponseOptions()];
  input.push_back(text);
  options.push_back({ alignment: false, html: false, qualityScores: false });
  const start = performance.now();
  const responses = service.translate(model, input, options);
  const translation = responses.get(0).getTranslatedText();
  const ms = performance.now() - start;
  for (const value of [input, options, responses]) value.delete();
  return { ms, translation };
}

addEventListener("message", async ({ data: { options, texts } }) => {
  try {
    if (options) await load(options);
    postMessage(texts.map(translate));
  } catch (error) {
    postMessage({ error: String(error) });
  }
});
