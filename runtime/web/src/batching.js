/** Padded batches of token ids. */

import { PAD } from "./contract.js";

export const BATCH_SIZE = 32; // rows
export const BATCH_TOKENS = 512; // ids with padding; larger batches do not fit a processor's cache

/** Yield batches of items with `ids`, the shortest first, within the limits. An item that is longer is a batch. */
export function* batchesOf(items, batchSize = BATCH_SIZE, batchTokens = BATCH_TOKENS) {
  let batch = [];
  for (const item of [...items].sort((a, b) => a.ids.length - b.ids.length)) {
    if (batch.length && (batch.length === batchSize || (batch.length + 1) * item.ids.length > batchTokens)) {
      yield batch;
      batch = [];
    }
    batch.push(item);
  }
  if (batch.length) yield batch;
}

/** Return the inputs `source` (B, S), filled up with `<pad>`, and `source_length` (B) of rows of ids. */
export function sourceInputs(rows) {
  const width = Math.max(...rows.map((row) => row.length));
  const ids = new BigInt64Array(rows.length * width).fill(BigInt(PAD));
  rows.forEach((row, b) => row.forEach((id, s) => (ids[b * width + s] = BigInt(id))));
  return {
    source: ["int64", ids, [rows.length, width]],
    source_length: ["int64", BigInt64Array.from(rows, (row) => BigInt(row.length)), [rows.length]],
  };
}
