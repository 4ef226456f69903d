import assert from "node:assert/strict";
import { test } from "node:test";

import * as contract from "../src/contract.js";
import { fixture } from "./fixtures.js";

test("the contract is that of the fixture", () => {
  const expected = fixture("contract");
  const { PAD, UNK, BOS, EOS } = contract;
  assert.equal(contract.SCHEMA, expected.schema);
  assert.deepEqual({ "<pad>": PAD, "<unk>": UNK, "<s>": BOS, "</s>": EOS }, expected.special_ids);
  assert.equal(contract.METADATA_PREFIX, expected.metadata_prefix);
  assert.equal(contract.CHECKSUM_KEY, expected.checksum_key);
  assert.deepEqual(contract.PRECISIONS, expected.tolerances);
  const tasks = Object.entries(expected.tasks).map(([task, { inputs, outputs }]) => [
    task,
    [inputs, outputs].map(Object.keys),
  ]);
  assert.deepEqual(contract.CONTRACTS, Object.fromEntries(tasks));
});
