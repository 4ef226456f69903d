/** Translate text: split it into parts, tokenise, run the file once for each batch, detokenise and join. */

import { BATCH_SIZE, BATCH_TOKENS, batchesOf, sourceInputs } from "./batching.js";
import { EOS, PAD, PRECISIONS } from "./contract.js";
import { UserError, checkOptions, listOfTexts, numberBetween, selfTestError, wholeNumber } from "./errors.js";
import { Model } from "./model.js";
import { PartSplitter, joinParts } from "./parts.js";
import { lostSpans, respell, show } from "./protection.js";
import { Tokenizer } from "./tokenizer.js";

const MAX_LENGTH = 1_000_000; // largest `maxLength` of a translation, in ids
const MAX_LENGTH_PENALTY = 5;
const OPTIONS = [
  "beam",
  "nBest",
  "lengthPenalty",
  "maxLength",
  "alignments",
  "protected",
  "batchSize",
  "batchTokens",
  "signal",
];
const NO_HYPOTHESIS = -1e6; // a score below it marks a place in the beam without one

/** A translator of text, loaded from a file that `dragoman export` made. */
export class Translator extends Model {
  static task = "translate";

  #splitter;

  constructor(session, metadata) {
    super(session, metadata);
    this.sourceTokenizer = new Tokenizer(metadata.sourceTokenizer, metadata.normalisation);
    const isJoint = metadata.sourceTokenizer === metadata.targetTokenizer;
    this.targetTokenizer = isJoint
      ? this.sourceTokenizer
      : new Tokenizer(metadata.targetTokenizer, metadata.normalisation);
    const hasPlaceholders = this.sourceTokenizer.hasPlaceholders && this.targetTokenizer.hasPlaceholders;
    this.#splitter = new PartSplitter(metadata, this.sourceTokenizer, hasPlaceholders);
  }

  /** Translate the test sentences in the file. Rejects with SelfTestError unless they give the results of the export. */
  async selfTest() {
    const { cases, settings } = this.metadata.selfTest;
    for (const { source, target, score } of cases) {
      const [[row]] = await this.#run([source], {
        beam: settings.beam_size,
        nSearched: settings.n_best,
        maxLength: settings.max_length,
        lengthPenalty: settings.length_penalty,
        nAligned: 0,
      });
      const isSame = String(row.ids) === String(target);
      if (!isSame || !(Math.abs(row.score - score) <= PRECISIONS[this.metadata.precision])) {
        throw selfTestError(
          `a test sentence gave the score ${row.score.toFixed(5)}, and ${score.toFixed(5)} at export`,
        );
      }
    }
  }

  /** True if the network has attention, which word alignments need. */
  get hasAttention() {
    return this.metadata.hasAttention;
  }

  /**
   * Translate one text, or several. Rejects with UserError for a wrong argument, or if ONNX Runtime fails.
   *
   * A text that is longer than the model's training sources is translated in parts, and so are lines. Line breaks are
   * kept, except those that wrap a sentence. A translation never depends on the other texts. It keeps URLs, e-mail
   * addresses, placeholders and the like as they are.
   *
   * @param {string | Iterable<string>} text
   * @param {object} [options] as in Python; see index.d.ts
   * @returns a translation, or an array of them
   */
  async translate(text, options = {}) {
    checkOptions(options, OPTIONS);
    this.session.check();
    const { batchSize = BATCH_SIZE, batchTokens = BATCH_TOKENS, protected: strings = [], signal } = options;
    wholeNumber("batchSize", batchSize, 1);
    wholeNumber("batchTokens", batchTokens, 1);
    signal?.throwIfAborted();
    const texts = listOfTexts(text);
    const search = this.#settings(options);
    const kept = stringsOfTexts(text, texts, strings);
    const parts = texts.map((item, i) => this.#splitter.split(item, kept[i]));
    const pending = parts.flat().filter((part) => part.ids.length);
    for (const batch of batchesOf(pending, batchSize, batchTokens)) {
      if (signal) await otherTasks();
      signal?.throwIfAborted();
      await this.#translateParts(batch, search);
    }
    signal?.throwIfAborted();
    const translations = parts.map((ofText) => joinParts(ofText, search.nBest));
    return typeof text === "string" ? translations[0] : translations;
  }

  /** Return the settings of the search from the options of `translate`. */
  #settings({ beam, nBest = 1, lengthPenalty, maxLength, alignments = false }) {
    const { defaults, selection } = this.metadata;
    const [largest, meaning] = selection.shared
      ? [selection.shared, "the number of subwords that every translation may contain"]
      : [this.targetTokenizer.size, "the vocabulary size"];
    wholeNumber("nBest", nBest, 1);
    const nSearched = nBest === 1 ? 1 : 2 * nBest; // some hypotheses are the same text in other subwords
    beam ??= Math.min(Math.max(defaults.beam_size, nSearched), Math.max(nBest, largest));
    wholeNumber("beam", beam, 1, largest, meaning);
    if (nBest > beam) throw new UserError(`nBest is ${nBest} and beam is ${beam}; nBest must be from 1 to beam`);
    if (alignments && !this.hasAttention) throw new UserError("the model has no attention, so it cannot align words");
    return {
      nBest,
      beam,
      nSearched: Math.min(nSearched, beam),
      maxLength: wholeNumber("maxLength", maxLength ?? defaults.max_length, 1, MAX_LENGTH),
      lengthPenalty: numberBetween("lengthPenalty", lengthPenalty ?? defaults.length_penalty, 0, MAX_LENGTH_PENALTY),
      nAligned: Number(Boolean(alignments)),
    };
  }

  /** Search for translations of a batch of parts, and store hypotheses and attention in the parts. */
  async #translateParts(batch, search) {
    const candidates = await this.#search(batch, search.nBest, search);
    batch.forEach((part, i) => store(part, candidates[i]));
    const lost = batch.filter((part) => part.protected.length && part.hypotheses.some((h) => hasLost(part, h)));
    if (lost.length) await this.#keepSpans(lost, search);
    for (const part of batch.filter(({ spellings }) => spellings.size)) {
      part.hypotheses = part.hypotheses.map((h) => ({ ...h, text: respell(h.text, part.spellings) }));
    }
  }

  /**
   * Translate parts again that have lost a protected span.
   *
   * Take those hypotheses of the beam that keep all spans. If they are too few, add others, with their spans where the
   * model attended to them. A part without any such hypothesis stays in the source language.
   */
  async #keepSpans(batch, search) {
    const { restored } = await import("./restoration.js"); // rarely needed
    const { beam, nBest } = search;
    const ofBeam = { ...search, nSearched: beam, nAligned: this.hasAttention ? beam : 0 };
    const found = await this.#search(batch, beam, ofBeam);
    batch.forEach((part, i) => {
      let kept = found[i].filter(({ hypothesis }) => !hasLost(part, hypothesis));
      for (const { hypothesis, attention } of found[i]) {
        if (!attention || kept.length >= nBest) continue;
        const [text, ofText] = restored(part.text, part.protected, hypothesis.text, attention);
        // It ranks behind those that keep the spans themselves.
        const score = kept.length ? Math.min(hypothesis.score, kept.at(-1).hypothesis.score) : hypothesis.score;
        const repaired = { ...hypothesis, text, score };
        const isNew = kept.every((other) => !isSame(other.hypothesis, repaired));
        if (isNew && !hasLost(part, repaired)) kept.push({ hypothesis: repaired, attention: ofText });
      }
      part.isTranslated = kept.length > 0;
      kept = kept.slice(0, nBest);
      if (!kept.length) kept.push({ hypothesis: { ...found[i][0].hypothesis, text: part.text }, attention: null });
      store(part, kept);
      if (!search.nAligned) part.attention = null;
    });
  }

  /** Return the best different hypotheses for each part of a batch, the first ones with their attention. */
  async #search(batch, nBest, search) {
    const rows = await this.#run(
      batch.map((part) => part.ids),
      search,
    );
    return rows.map((hypotheses, b) => {
      const part = batch[b];
      const candidates = new Map();
      for (const { ids, score, weights } of hypotheses) {
        if (score < NO_HYPOTHESIS || candidates.size === nBest) break; // the search may find fewer
        let text = this.targetTokenizer.decode(ids);
        if (part.hidden.size) text = this.targetTokenizer.normalise(show(text, part.hidden));
        if (candidates.has(text)) continue;
        const hypothesis = { text, score, complete: ids.at(-1) === EOS };
        candidates.set(text, { hypothesis, attention: weights && this.#attentionMap(part, ids, weights) });
      }
      return [...candidates.values()];
    });
  }

  /**
   * Run the beam search over rows of ids. Return for each row `nSearched` hypotheses: ids without padding, the score, and
   * the weights of attention for the first `nAligned`, else null.
   */
  async #run(rows, { beam, nSearched, maxLength, lengthPenalty, nAligned }) {
    const scalar = (value) => ["int64", BigInt64Array.of(BigInt(value)), []];
    const { target, score, attention } = await this.session.run({
      ...sourceInputs(rows),
      beam_size: scalar(beam),
      n_best: scalar(nSearched),
      max_length: scalar(maxLength),
      length_penalty: ["float32", Float32Array.of(lengthPenalty), []],
      attended: scalar(nAligned),
    });
    const [, nHypotheses, nTarget] = target.dims;
    const nSource = attention.dims[3];
    return rows.map((row, b) =>
      Array.from({ length: nSearched }, (_, k) => {
        const at = b * nHypotheses + k;
        const ids = Array.from(target.data.subarray(at * nTarget, (at + 1) * nTarget), Number).filter(
          (id) => id !== PAD,
        );
        const weightsOf = (t) => {
          const start = ((b * nAligned + k) * nTarget + t) * nSource;
          return attention.data.slice(start, start + row.length);
        };
        return { ids, score: score.data[at], weights: k < nAligned ? ids.map((_, t) => weightsOf(t)) : null };
      }),
    );
  }

  /** Return the attention map of a hypothesis, with spans in place of their placeholders. */
  #attentionMap(part, ids, weights) {
    const shownIn = (subwords) => subwords.map((subword) => show(subword, part.hidden));
    return {
      sourceSubwords: shownIn(this.sourceTokenizer.subwords(part.ids)),
      targetSubwords: shownIn(this.targetTokenizer.subwords(ids)),
      weights,
    };
  }
}

/** Let other tasks run, such as one that aborts this one. Unlike a timer, it takes no time. */
function otherTasks() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

function store(part, candidates) {
  part.hypotheses = candidates.map(({ hypothesis }) => hypothesis);
  part.attention = candidates[0].attention;
}

function hasLost(part, { text }) {
  return lostSpans(part.text, part.protected, text).length > 0;
}

function isSame(a, b) {
  return a.text === b.text && a.score === b.score && a.complete === b.complete;
}

/** Return the strings to keep in each text. Throws UserError for other values. */
function stringsOfTexts(text, texts, strings) {
  if (typeof text === "string") return [listOfTexts(strings, "protected string")];
  if (typeof strings === "string" || typeof strings?.[Symbol.iterator] !== "function") {
    throw new UserError("`protected` must be an array with the strings of each text");
  }
  const ofTexts = [...strings].map((each) => listOfTexts(each, "protected string"));
  if (ofTexts.length && ofTexts.length !== texts.length) {
    throw new UserError(
      `\`protected\` has strings for ${ofTexts.length} texts and should have them for ${texts.length}, in the same order`,
    );
  }
  return ofTexts;
}
