import assert from "node:assert/strict";
import { test } from "node:test";

import {
  PATTERNS,
  PLACEHOLDERS,
  countIn,
  emojiSpellings,
  hide,
  lostSpans,
  protectedSpans,
  respell,
  show,
  whole,
} from "../src/protection.js";
import { restored } from "../src/restoration.js";
import { fixture } from "./fixtures.js";

const FIXTURE = fixture("protection");

test("texts have the spans of the fixture", () => {
  for (const { text, others, spans, hidden, target, lost } of FIXTURE.spans) {
    const found = protectedSpans(text, others);
    assert.deepEqual(
      found.map(([start, end]) => text.slice(start, end)),
      spans,
      JSON.stringify([text, others]),
    );
    const [hiddenText, byPlaceholder] = hide(text, found);
    assert.equal(hiddenText, hidden);
    assert.equal(show(hiddenText, byPlaceholder), text);
    assert.deepEqual(lostSpans(text, found, target), lost, JSON.stringify([text, target]));
  }
});

test("emoji have the spellings of the fixture", () => {
  for (const { text, spellings, translation, respelled } of FIXTURE.emoji) {
    const found = emojiSpellings(text);
    assert.deepEqual(Object.fromEntries(found), spellings);
    assert.equal(respell(translation, found), respelled);
  }
});

test("restored translations have the text and the attention of the fixture", () => {
  for (const each of FIXTURE.restored) {
    const [text, found] = restored(each.source, protectedSpans(each.source), each.target, {
      sourceSubwords: each.source_subwords,
      targetSubwords: each.target_subwords,
      weights: each.weights.map((row) => Float32Array.from(row)),
    });
    assert.equal(text, each.text, JSON.stringify(each));
    assert.deepEqual(found.sourceSubwords, each.source_subwords);
    assert.deepEqual(found.targetSubwords, each.restored_subwords);
    assert.deepEqual(
      found.weights.map((row) => [...row]),
      each.restored_weights,
    );
  }
});

test("a placeholder without a span is removed", () => {
  const [text, hidden] = hide("see {a}", [[4, 7]]);
  assert.equal(text, `see ${PLACEHOLDERS[0]}`);
  assert.equal(show(`${text} ${PLACEHOLDERS[1]}`, hidden), "see {a} ");
});

test("strings count as whole words", () => {
  assert.equal(countIn("ls lsof als ls", "ls"), 2);
  assert.match("a (b)", new RegExp(whole("(b)"), "u"));
});

test("long runs take no time", () => {
  // A quadratic search would take minutes.
  const units = [
    ..."aé1.:/@#$%{<~🎉",
    "a.",
    "a/",
    "a@",
    "1.",
    ":a",
    "@a.",
    "www.",
    "{a",
    "<a ",
    "%(",
    "a-.",
    "🎉\u200d",
  ];
  for (const unit of units) protectedSpans(unit.repeat(200_000 / unit.length));
  const runs = [
    [":", "a", "!:"],
    ["%", "0", "!"],
    ["", "+/", ""],
    ["", "%/", ""],
  ];
  for (const [start, unit, end] of runs) assert.deepEqual(protectedSpans(start + unit.repeat(200_000) + end), []);
  assert.equal(protectedSpans("a https://a.org/b ".repeat(30_000), ["a", "b"]).length, 60_000);
});

test("every kind has a pattern that is valid with the flag u", () => {
  assert.equal(Object.keys(PATTERNS).length, 11);
  for (const pattern of Object.values(PATTERNS)) new RegExp(pattern, "u");
});
