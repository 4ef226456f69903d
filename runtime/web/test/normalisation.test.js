import assert from "node:assert/strict";
import { test } from "node:test";

import { VERSION, normalise } from "../src/normalisation.js";
import { fixture } from "./fixtures.js";

test("every version of the rules gives the text of the fixture", () => {
  for (const { text, ...normalised } of fixture("normalisation")) {
    assert.equal(Object.keys(normalised).length, VERSION);
    for (const version of Object.keys(normalised)) {
      assert.equal(normalise(text, Number(version)), normalised[version], JSON.stringify(text));
    }
  }
});

test("the newest version is the default", () => {
  assert.equal(normalise("a\u200b"), normalise("a\u200b", VERSION));
});
