/**
 * Compare this package with answers of Python: node compare.mjs CASES.json PACKAGE ONNXRUNTIME.
 *
 * Prints the number of cases that agree and the first ones that differ, as JSON.
 */

import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

const [cases, folder, runtime] = process.argv.slice(2);
const from = (path) => import(pathToFileURL(`${folder}/${path}`));

const TOLERANCE = 1e-4;

const checks = {
  async ids({ tokenizer, normalisation, rows }) {
    const { Tokenizer } = await from("src/tokenizer.js");
    const tokens = new Tokenizer(Buffer.from(tokenizer, "base64"), normalisation);
    return rows.map(({ text, ids, decoded }) => {
      const found = tokens.encode(text);
      return [{ text, ids, decoded }, { text, ids: found, decoded: tokens.decode(ids) }];
    });
  },

  async decodings({ tokenizer, normalisation, rows }) {
    const { Tokenizer } = await from("src/tokenizer.js");
    const tokens = new Tokenizer(Buffer.from(tokenizer, "base64"), normalisation);
    return rows.map(({ ids, decoded }) => [{ ids, decoded }, { ids, decoded: tokens.decode(ids) }]);
  },

  async translations({ model, options, texts, expected }) {
    const { Translator } = await from("index.js");
    const onnxruntime = await import(pathToFileURL(runtime));
    const translator = await Translator.load(model, { onnxruntime, selfTest: true });
    const found = [];
    for (const text of options.together ? [texts] : texts) found.push(await translator.translate(text, options));
    await translator.dispose();
    return found.flat().map((translation, i) => [expected[i], matching(translation, expected[i])]);
  },

  async labels({ model, method, texts, expected }) {
    const { [method === "tag" ? "Tagger" : "Classifier"]: Model } = await from("index.js");
    const onnxruntime = await import(pathToFileURL(runtime));
    const labeller = await Model.load(model, { onnxruntime, selfTest: true });
    const found = await labeller[method](texts);
    return found.map((result, i) => [expected[i], matching(result, expected[i])]);
  },
};

/** Return what an expected value has of a value, with expected numbers in place of those within the tolerance. */
function matching(value, expected) {
  if (typeof expected === "number") return Math.abs(value - expected) <= TOLERANCE ? expected : value;
  if (ArrayBuffer.isView(value)) value = [...value];
  if (Array.isArray(expected)) {
    const isSame = Array.isArray(value) && value.length === expected.length;
    return isSame ? value.map((item, i) => matching(item, expected[i])) : value;
  }
  if (expected === null || typeof expected !== "object") return value;
  return Object.fromEntries(Object.keys(expected).map((key) => [key, matching(value[key], expected[key])]));
}

const results = [];
for (const { kind, ...values } of JSON.parse(await readFile(cases, "utf-8"))) {
  const pairs = await checks[kind](values);
  const different = pairs.filter(([expected, found]) => JSON.stringify(expected) !== JSON.stringify(found));
  results.push({ kind, agree: pairs.length - different.length, differ: different.length, first: different.slice(0, 5) });
}
console.log(JSON.stringify(results));
