import assert from "node:assert/strict";
import { test } from "node:test";

import { Tokenizer } from "../src/tokenizer.js";
import { fixture } from "./fixtures.js";

for (const { name, model, normalisation, texts, decodings } of fixture("tokenisation")) {
  test(`texts have the ids of the fixture: ${name}`, () => {
    const tokenizer = new Tokenizer(Buffer.from(model, "base64"), normalisation);
    for (const { text, ids } of texts) assert.deepEqual(tokenizer.encode(text), ids, JSON.stringify(text));
    for (const { ids, decoded } of [...texts, ...decodings]) assert.equal(tokenizer.decode(ids), decoded, String(ids));
  });
}
