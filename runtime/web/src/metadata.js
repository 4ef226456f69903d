/** Metadata and checksum of a Dragoman file. */

import { CHECKSUM_KEY, CONTRACTS, METADATA_PREFIX, PRECISIONS, SCHEMA } from "./contract.js";
import { ModelFileError } from "./errors.js";
import { VERSION } from "./normalisation.js";
import { fieldsOf, textOf } from "./protobuf.js";
import { sha256 } from "./sha256.js";

const METADATA_PROPS = 14; // the field of ModelProto
const CHECKSUM_BYTES = 85; // of the entry at the end of a file
const DIGEST_BYTES = 64;

/**
 * Return the metadata of a file, after checking its checksum. Throws ModelFileError for a file that is damaged, no
 * Dragoman model, or of a newer version.
 */
export async function readMetadata(bytes) {
  await checkChecksum(bytes);
  const props = {};
  try {
    for (const [number, value] of fieldsOf(bytes)) {
      if (number !== METADATA_PROPS) continue;
      const { 1: key, 2: text } = Object.fromEntries(fieldsOf(value));
      props[textOf(key)] = textOf(text ?? new Uint8Array());
    }
  } catch {
    throw new ModelFileError("it is damaged; copy it again");
  }
  return metadataOf(props);
}

async function checkChecksum(bytes) {
  const body = bytes.subarray(0, Math.max(0, bytes.length - CHECKSUM_BYTES));
  const tail = textOf(bytes.subarray(body.length));
  if (!tail.startsWith(`r\x53\n\x0f${CHECKSUM_KEY}\x12\x40`)) {
    const producer = METADATA_PREFIX.slice(0, -1); // stands near the start, so a truncated file has it, too
    throw new ModelFileError(
      textOf(bytes.subarray(0, 64)).includes(producer)
        ? "it is damaged or cut short: the checksum at its end is missing; copy it again"
        : textOf(bytes.subarray(0, 64)).trimStart().startsWith("<")
          ? "it is a page, not a model; the server may not have the file"
          : "it is not a Dragoman model; `dragoman export` makes one from a training run",
    );
  }
  if (tail.slice(-DIGEST_BYTES) !== (await sha256(body))) {
    throw new ModelFileError("it is damaged: its contents do not match its checksum; copy it again");
  }
}

/** Return the metadata from the properties of a file. Throws ModelFileError if one is missing or invalid. */
export function metadataOf(props) {
  function get(key, value) {
    const text = props[METADATA_PREFIX + key] ?? value;
    if (text === undefined) {
      throw new ModelFileError(`not a Dragoman model: the file's metadata has no ${METADATA_PREFIX}${key}`);
    }
    return text;
  }

  function read(key, kind, value) {
    const text = get(key, value);
    const found = KINDS[kind](parsed(text));
    if (found === undefined) {
      const given = JSON.stringify(text.slice(0, 40));
      throw new ModelFileError(`the file's ${METADATA_PREFIX}${key} is ${given} and should be ${kind}`);
    }
    return found;
  }

  if (get("schema") !== String(SCHEMA)) {
    throw new ModelFileError(
      `the model has schema ${get("schema")}, and this version of Dragoman reads schema ${SCHEMA}; ` +
        "install the version that exported it or a newer one",
    );
  }
  const task = get("task", "translate");
  if (!Object.hasOwn(CONTRACTS, task)) {
    throw new ModelFileError(
      `the model's task is ${JSON.stringify(task)}, and this version of Dragoman knows ` +
        `${Object.keys(CONTRACTS).join(", ")}; install a newer version`,
    );
  }
  const source = fromBase64(get("source_tokenizer"));
  const target = fromBase64(get("target_tokenizer"));
  const metadata = {
    task,
    sourceLanguage: get("source_language"),
    targetLanguage: get("target_language"),
    sourceTokenizer: source,
    targetTokenizer: target.length ? target : source,
    maxSource: read("max_source", "a whole number from 1"),
    maxSentences: read("max_sentences", "a whole number from 1", "1"),
    normalisation: read("normalisation", "a whole number from 1", "1"),
    defaults: read("defaults", "an object"),
    config: read("config", "an object"),
    card: read("card", "an object"),
    selfTest: read("self_test", "an object"),
    quantisation: read("quantisation", "an object", "{}"),
    selection: read("selection", "an object", "{}"),
    labels: read("labels", "a list", "[]"),
    precision: get("precision"),
    hasAttention: read("config", "an object").model?.attention !== "none", // which word alignments need
    checksum: get("sha256", ""),
  };
  check(metadata);
  return metadata;
}

const KINDS = {
  "an object": (value) => (value && typeof value === "object" && !Array.isArray(value) ? value : undefined),
  "a list": (value) => (Array.isArray(value) ? value : undefined),
  "a whole number from 1": (value) => (Number.isInteger(value) && value >= 1 ? value : undefined),
};

/** Throw ModelFileError for values that would fail later. */
function check({ precision, normalisation, task, defaults, maxSource, selfTest, quantisation, labels }) {
  if (!Object.hasOwn(PRECISIONS, precision)) {
    throw new ModelFileError(
      `the model's precision is ${JSON.stringify(precision)}, and this version of Dragoman runs ` +
        `${Object.keys(PRECISIONS).join(" and ")}; install a newer version`,
    );
  }
  if (normalisation > VERSION) {
    throw new ModelFileError(
      `the model's text is normalised by version ${normalisation} of the rules, and this version of Dragoman knows ` +
        `them up to ${VERSION}; install a newer version`,
    );
  }
  for (const name of task === "translate" ? ["beam_size", "length_penalty", "max_length"] : []) {
    if (typeof defaults[name] !== "number") {
      throw new ModelFileError(`the file's ${METADATA_PREFIX}defaults has no number for ${name}`);
    }
  }
  if (task !== "forecast" && maxSource < 8) {
    throw new ModelFileError(`the file's ${METADATA_PREFIX}max_source is ${maxSource} and should be 8 or more`);
  }
  if ((task === "classify" || task === "tag") && !labels.length) {
    throw new ModelFileError(`the file's ${METADATA_PREFIX}labels has no labels`);
  }
  if (!Array.isArray(selfTest.cases)) {
    throw new ModelFileError(`the file's ${METADATA_PREFIX}self_test has no list of cases`);
  }
  if (quantisation.target === "vnni") {
    // WebAssembly multiplies 8-bit numbers in 16 bits on some machines, which changes results without an error.
    throw new ModelFileError(
      "files of `--target vnni` do not run here; export the run with `--int8` alone, which makes a file for any processor",
    );
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function fromBase64(text) {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    throw new ModelFileError("one of the file's tokenizers is not in base64");
  }
}
