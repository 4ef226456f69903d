/** Classify texts, and label the words of texts (sequence labelling). */

import { BATCH_SIZE, batchesOf, sourceInputs } from "./batching.js";
import { EOS } from "./contract.js";
import { checkOptions, listOfTexts, selfTestError, wholeNumber } from "./errors.js";
import { Model } from "./model.js";
import { splitText } from "./segmentation.js";
import { codePointLength } from "./text.js";
import { Tokenizer } from "./tokenizer.js";

const OPTIONS = ["batchSize"];
const TOLERANCE = 1e-3; // largest difference of a probability between machines

/** Base class of classifiers and taggers: self-test and batching. */
class LabelModel extends Model {
  constructor(session, metadata) {
    super(session, metadata);
    this.tokenizer = new Tokenizer(metadata.sourceTokenizer, metadata.normalisation);
  }

  /** Label the test texts in the file. Rejects with SelfTestError unless they give the results of the export. */
  async selfTest() {
    for (const { source, probability } of this.metadata.selfTest.cases) {
      const [rows] = await this.#run([source]);
      const [found, expected] = [rows.map((row) => [...row]).flat(), probability.flat()];
      const isSame = found.length === expected.length && found.every((p, i) => Math.abs(p - expected[i]) <= TOLERANCE);
      if (!isSame) throw selfTestError("the probabilities for a test text differ from those at export");
    }
  }

  /** Set `rows` of each part, which has `ids`: one row of probabilities of a classifier, one for each id of a tagger. */
  async compute(parts, { batchSize = BATCH_SIZE }) {
    for (const batch of batchesOf(parts, wholeNumber("batchSize", batchSize, 1))) {
      const results = await this.#run(batch.map((part) => part.ids));
      batch.forEach((part, i) => (part.rows = results[i]));
    }
  }

  async #run(rows) {
    const { probability } = await this.session.run(sourceInputs(rows));
    const nLabels = probability.dims.at(-1);
    const nIds = this.isPerId ? probability.dims[1] : 1;
    return rows.map((row, b) =>
      Array.from({ length: this.isPerId ? row.length : 1 }, (_, s) => {
        const at = (b * nIds + s) * nLabels;
        return probability.data.subarray(at, at + nLabels);
      }),
    );
  }
}

/** A classifier of texts. The classes are `metadata.labels`. */
export class Classifier extends LabelModel {
  static task = "classify";
  isPerId = false;

  /**
   * Classify one text, or several. A text that is longer than the training texts is read in parts, whose probabilities
   * are averaged, weighted by length.
   *
   * @param {string | Iterable<string>} text
   * @param {{batchSize?: number}} [options]
   * @returns {label, probability, probabilities, parts}, or an array of them; `probabilities` are [label, probability]
   * of every class, the most probable first
   */
  async classify(text, options = {}) {
    checkOptions(options, OPTIONS);
    this.session.check();
    const texts = listOfTexts(text).map((item) => this.#split(this.tokenizer.normalise(item)));
    await this.compute(texts.flat(), options);
    const results = texts.map((parts) => this.#result(parts));
    return typeof text === "string" ? results[0] : results;
  }

  #split(text) {
    if (!text) return [];
    const limit = this.metadata.maxSource;
    if (codePointLength(text) <= 16 * limit) {
      const ids = this.tokenizer.encode(text);
      if (ids.length <= limit) return [{ ids }];
    }
    const slices = splitText(text, (slice) => this.tokenizer.encode(slice).length, limit);
    return slices.filter((slice) => slice.text).map((slice) => ({ ids: this.tokenizer.encode(slice.text) }));
  }

  #result(parts) {
    if (!parts.length) return { label: "", probability: 0, probabilities: [], parts: 0 };
    const total = parts.reduce((sum, { ids }) => sum + ids.length, 0);
    const mean = (c) => parts.reduce((sum, { ids, rows }) => sum + rows[0][c] * ids.length, 0) / total;
    const probabilities = this.metadata.labels.map((label, c) => [label, mean(c)]).sort((a, b) => b[1] - a[1]);
    const [[label, probability]] = probabilities;
    return { label, probability, probabilities, parts: parts.length };
  }
}

/** A tagger of words, which are separated by spaces. The labels are `metadata.labels`. */
export class Tagger extends LabelModel {
  static task = "tag";
  isPerId = true;

  /**
   * Label every word of one text, or of several. A text that is longer than the training texts is read in parts.
   *
   * @param {string | Iterable<string>} text
   * @param {{batchSize?: number}} [options]
   * @returns {words, labels, probabilities, complete}, or an array of them; `complete` is false if a word has more
   * subwords than the training texts, so that its end was not read
   */
  async tag(text, options = {}) {
    checkOptions(options, OPTIONS);
    this.session.check();
    const lines = listOfTexts(text).map((item) => this.tokenizer.normalise(item));
    const parts = lines.map((line) => (line ? this.#split(line) : []));
    await this.compute(parts.flat(), options);
    const results = lines.map((line, i) => {
      const found = parts[i].flatMap(({ rows, wordStarts }) => wordStarts.map((start) => this.#best(rows[start])));
      return {
        words: line ? line.split(" ") : [],
        labels: found.map(([label]) => label),
        probabilities: found.map(([, probability]) => probability),
        complete: parts[i].every((part) => part.complete),
      };
    });
    return typeof text === "string" ? results[0] : results;
  }

  #best(row) {
    const best = row.reduce((most, p, c) => (p > row[most] ? c : most), 0);
    return [this.metadata.labels[best], row[best]];
  }

  /** Return the parts of a normalised text, split between words. A word of too many ids is cut. */
  #split(line) {
    const limit = this.metadata.maxSource - 1; // leaves room for `</s>`
    const parts = [{ ids: [], wordStarts: [], complete: true }];
    for (const ids of line.split(" ").map((word) => this.tokenizer.encodeWord(word))) {
      if (parts.at(-1).ids.length && parts.at(-1).ids.length + ids.length > limit) {
        parts.push({ ids: [], wordStarts: [], complete: true });
      }
      const part = parts.at(-1);
      part.wordStarts.push(part.ids.length);
      part.ids.push(...ids.slice(0, limit));
      part.complete &&= ids.length <= limit;
    }
    for (const { ids } of parts) ids.push(EOS);
    return parts;
  }
}
