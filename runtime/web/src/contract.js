/**
 * The tensor contract of a Dragoman file: names and types of tensors, special ids, and metadata keys. It is that of
 * runtime/contract.py, and docs/file-format.md describes it.
 */

export const SCHEMA = 1;

export const PAD = 0;
export const UNK = 1;
export const BOS = 2;
export const EOS = 3;

const LABEL_INPUTS = ["source", "source_length"];

/** For each task the names of inputs and of outputs, in order. */
export const CONTRACTS = {
  translate: [
    ["source", "source_length", "beam_size", "n_best", "max_length", "length_penalty", "attended"],
    ["target", "score", "attention"],
  ],
  classify: [LABEL_INPUTS, ["probability"]],
  tag: [LABEL_INPUTS, ["probability"]],
  forecast: [["series"], ["forecast"]],
};

export const METADATA_PREFIX = "dragoman.";
export const CHECKSUM_KEY = "dragoman.sha256";

/** For each precision: how much a score may differ between machines. */
export const PRECISIONS = { float32: 1e-3, int8: 0.05 };
