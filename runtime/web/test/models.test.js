import assert from "node:assert/strict";
import { test } from "node:test";

import { Classifier, Tagger, Translator } from "../index.js";
import { fixture, inCamelCase, matching, modelOf, needsRuntime, onnxruntime } from "./fixtures.js";

// The scores of the fixtures are those of another build of ONNX Runtime, and maybe of another processor.
const TOLERANCES = { float32: 1e-4, int8: fixture("contract").tolerances.int8 };

for (const { model, options, cases } of fixture("translations")) {
  test(`texts have the translations of the fixture: ${model} ${JSON.stringify(options)}`, needsRuntime, async () => {
    const translator = await Translator.load(modelOf(model), { onnxruntime: await onnxruntime(), selfTest: true });
    const [names, tolerance] = [inCamelCase(options), TOLERANCES[translator.metadata.precision]];
    const strings = cases.map(() => options.protected ?? []);
    const together = await translator.translate(
      cases.map(({ text }) => text),
      { ...names, protected: strings },
    );
    for (const [i, { text, translation }] of cases.entries()) {
      for (const found of [await translator.translate(text, names), together[i]]) {
        assert.deepEqual(matching(found, translation, tolerance), translation, JSON.stringify(text));
      }
    }
    await translator.dispose();
  });
}

for (const [Model, method] of [
  [Classifier, "classify"],
  [Tagger, "tag"],
]) {
  test(`texts have the labels of the fixture: ${method}`, needsRuntime, async () => {
    const { model, cases } = fixture("labels")[method];
    const labeller = await Model.load(modelOf(model), { onnxruntime: await onnxruntime(), selfTest: true });
    const together = await labeller[method](cases.map(({ text }) => text));
    for (const [i, { text, result }] of cases.entries()) {
      for (const found of [await labeller[method](text), together[i]]) {
        assert.deepEqual(matching(found, result, 1e-3), result, JSON.stringify(text));
      }
    }
    await labeller.dispose();
  });
}
