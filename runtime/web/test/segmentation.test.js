import assert from "node:assert/strict";
import { test } from "node:test";

import { FULL_WIDTH, countSentences, isSpaced, splitText } from "../src/segmentation.js";
import { codePointLength } from "../src/text.js";
import { fixture } from "./fixtures.js";

const COUNTS = { characters: codePointLength, words: (text) => text.split(" ").length };

test("texts have the slices and the number of sentences of the fixture", () => {
  for (const { text, language, unit, limit, max_sentences: maxSentences, slices, sentences } of fixture("splitting")) {
    const found = splitText(text, COUNTS[unit], limit, maxSentences, language);
    const pairs = found.map(({ text, separator }) => [text, separator]);
    assert.deepEqual(pairs, slices, JSON.stringify([text, language, unit, limit, maxSentences]));
    assert.equal(countSentences(text, language), sentences, JSON.stringify([text, language]));
  }
});

test("some languages have no spaces between words", () => {
  for (const language of ["zh", "zh-TW", "JA", "th_TH"]) assert.ok(!isSpaced(language), language);
  for (const language of ["", "de", "de-CH", "constructor"]) assert.ok(isSpaced(language), language);
});

test("full-width punctuation is one character each", () => {
  assert.ok(FULL_WIDTH.includes("。"));
  assert.ok(FULL_WIDTH.every((mark) => mark.length === 1));
});

test("long runs take no time", () => {
  // A quadratic search would take minutes.
  for (const unit of [...". 。»[(a1;,", ". ", "! »", ".[1] ", ". . ", "a. ", "1. ", "A. B. "]) {
    const text = unit.repeat(200_000 / unit.length).trim();
    countSentences(text, "de");
    splitText(text, codePointLength, 100, 1, "de");
  }
});
