/**
 * Split a text into parts that are translated separately, and join their translations.
 *
 * A part is never longer than a training source (`maxSource`), has at most `maxSentences` sentences, and ends at a line
 * break, except at one that wraps a sentence. Line breaks are kept.
 */

import { wordAlignment } from "./alignment.js";
import { emojiSpellings, hide, protectedSpans, show } from "./protection.js";
import { FULL_WIDTH, countSentences, isSpaced, splitText } from "./segmentation.js";
import { codePointLength, isLower } from "./text.js";

// A line break that wraps a sentence: the line is long and ends in a word or comma. The next line must also start with a
// small letter.
const WRAP = /(?<=[^\r\n]{30}[\p{L}\p{N}_,;])[ \t]*(?:\r\n?|\n)[ \t]*(?=([\p{L}\p{N}_]))/gu;
const LINE_BREAKS = /((?:\r\n?|\n)+)/u;

/**
 * A part of a text that is translated separately.
 *
 * @typedef {object} Part
 * @property {string} text
 * @property {string} separator white space after the part in the source
 * @property {number[]} ids empty if there is nothing to translate
 * @property {string} targetSeparator white space after the part's translation
 * @property {object[]} hypotheses
 * @property {object | null} attention an attention map, see alignment.js
 * @property {[number, number][]} protected offsets of spans that the translation must keep
 * @property {Map<string, string>} hidden spans for which placeholders stand in `ids`
 * @property {Map<string, string>} spellings of emoji, see `emojiSpellings`
 * @property {boolean} isTranslated false if no translation kept all of `protected`; the part stays as it is
 */
function partOf(text, separator, ids, targetSeparator = "") {
  return {
    text,
    separator,
    ids,
    targetSeparator,
    hypotheses: [],
    attention: null,
    protected: [],
    hidden: new Map(),
    spellings: new Map(),
    isTranslated: true,
  };
}

/** Splits texts into parts, within a model's limits and by the rules of its languages. */
export class PartSplitter {
  /** Take a source tokenizer. hasPlaceholders: both tokenizers reserve symbols for protected spans. */
  constructor(metadata, tokenizer, hasPlaceholders) {
    this.tokenizer = tokenizer;
    this.hasPlaceholders = hasPlaceholders;
    this.maxIds = metadata.maxSource;
    this.maxSentences = metadata.maxSentences;
    this.language = metadata.sourceLanguage;
    this.sourceIsSpaced = isSpaced(metadata.sourceLanguage);
    this.targetIsSpaced = isSpaced(metadata.targetLanguage);
  }

  /** Return the parts of a text with any number of lines. strings: what the translation must keep, too. */
  split(text, strings = []) {
    if (!/[\r\n]/.test(text)) return this.#splitLine(text, strings);
    // In a text without capitals, a small letter does not show that a sentence continues.
    if (!isLower(text)) text = text.replace(WRAP, (breaks, next) => (isLower(next) ? " " : breaks));
    const parts = [];
    const lines = text.split(LINE_BREAKS);
    for (let i = 0; i < lines.length; i += 2) {
      const ofLine = this.#splitLine(lines[i], strings);
      const breaks = lines[i + 1];
      if (breaks && ofLine.length) ofLine.at(-1).separator = ofLine.at(-1).targetSeparator = breaks;
      else if (breaks) ofLine.push(partOf("", breaks, [], breaks));
      parts.push(...ofLine);
    }
    return parts;
  }

  #splitLine(original, strings) {
    const spellings = emojiSpellings(original);
    const line = this.tokenizer.normalise(original);
    if (!line) return [];
    const spans = protectedSpans(line, strings);
    const [hiddenLine, hidden] = spans.length && this.hasPlaceholders ? hide(line, spans) : [line, new Map()];
    const parts = this.#splitHidden(hiddenLine);
    if (parts.length === 1 && parts[0].text === hiddenLine) {
      Object.assign(parts[0], { text: line, protected: spans, hidden, spellings });
    } else if (spans.length) {
      const fragments = fragmentsOf(parts, protectedSpans(hiddenLine, strings));
      parts.forEach((part, i) => {
        const [head, tail] = fragments[i];
        part.spellings = spellings;
        part.hidden = new Map([...hidden].filter(([symbol]) => part.text.includes(symbol)));
        part.text = show(part.text, hidden);
        const end = part.text.length;
        const cut = [
          [0, head],
          [end - tail, end],
        ].filter(([first, last]) => first < last);
        if (head === end && tail === end) cut.pop(); // one span is longer than the part
        const whole = protectedSpans(part.text.slice(head, end - tail), strings);
        part.protected = [...cut, ...whole.map(([first, last]) => [first + head, last + head])];
        part.protected.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
      });
    }
    return parts;
  }

  /** Return the parts of a normalised line whose spans are hidden. */
  #splitHidden(line) {
    if (codePointLength(line) <= 16 * this.maxIds) {
      const ids = this.#encode(line);
      if (ids.length <= this.maxIds && countSentences(line, this.language) <= this.maxSentences) {
        return [partOf(line, "", ids)];
      }
    }
    const count = (text) => this.tokenizer.encode(text).length;
    const slices = splitText(line, count, this.maxIds, this.maxSentences, this.language);
    return slices.map(({ text, separator }, i) => {
      const inserted = i < slices.length - 1 ? this.#insertedSpace(text) : "";
      return partOf(text, separator, this.#encode(text), separator || inserted);
    });
  }

  /** Return the ids of a text with `</s>`, or none if it has no subwords. */
  #encode(text) {
    const ids = this.tokenizer.encode(text);
    return ids.length > 1 ? ids : [];
  }

  /**
   * Return the space to insert after a translation whose source has none. A language with spaces needs one where the
   * source language has none, or after full-width punctuation, but not within a word that was split for its length.
   */
  #insertedSpace(text) {
    const isNeeded = !this.sourceIsSpaced || FULL_WIDTH.includes([...text].at(-1) ?? " ");
    return isNeeded && this.targetIsSpaced ? " " : "";
  }
}

/**
 * Return how many characters at the start and at the end of each part belong to a span that goes beyond it. Only a span
 * that is too long for one part is cut, such as a URL of 1,000 characters.
 */
function fragmentsOf(parts, spans) {
  let [position, nPassed] = [0, 0];
  return parts.map((part) => {
    const start = position;
    position += part.text.length;
    let [head, tail] = [0, 0];
    while (nPassed < spans.length && spans[nPassed][1] <= start) nPassed++;
    for (let i = nPassed; i < spans.length && spans[i][0] < position; i++) {
      const [first, last] = spans[i];
      if (first < start) head = Math.min(last, position) - start;
      else if (last > position) tail = position - first;
    }
    position += part.separator.length;
    return [head, tail];
  });
}

/**
 * Return the translation of a text from its translated parts. The n best hypotheses of the text are those combinations
 * of the parts' hypotheses with the highest sum of scores.
 */
export function joinParts(parts, nBest) {
  const translated = parts.filter((part) => part.ids.length);
  if (!translated.length) {
    return {
      text: "",
      score: 0,
      complete: true,
      alignment: [],
      attention: [],
      hypotheses: [],
      parts: 1,
      untranslated: [],
    };
  }
  // A choice of one hypothesis for each part so far is a linked list from the last part to the first.
  let choices = [{ text: "", score: 0, complete: true, previous: null }];
  for (const part of parts) {
    const options = part.ids.length ? part.hypotheses : [{ text: "", score: 0, complete: true }];
    const extended = choices.flatMap((previous) =>
      options.map((option) => ({
        text: option.text + part.targetSeparator,
        score: previous.score + option.score,
        complete: previous.complete && option.complete,
        previous,
      })),
    );
    choices = extended.sort((a, b) => b.score - a.score).slice(0, nBest);
  }
  const hypotheses = new Map();
  for (const choice of choices) {
    const text = joinedText(choice);
    const score = choice.score / translated.length;
    if (!hypotheses.has(text)) hypotheses.set(text, { text, score, complete: choice.complete });
  }
  const [best] = hypotheses.values();
  const attention = translated.map((part) => part.attention).filter(Boolean);
  return {
    ...best,
    alignment: wordAlignment(attention, continuesOf(parts)),
    attention,
    hypotheses: [...hypotheses.values()],
    parts: translated.length,
    untranslated: translated.filter((part) => !part.isTranslated).map((part) => part.text),
  };
}

function joinedText(choice) {
  const texts = [];
  for (; choice.previous; choice = choice.previous) texts.push(choice.text);
  return texts.reverse().join("");
}

/** Return two flags for each translated part: its source, and its translation, follow the last without a space. */
function continuesOf(parts) {
  const continues = [];
  let [sourceSpace, targetSpace] = [true, true];
  for (const part of parts) {
    if (part.ids.length) {
      continues.push([!sourceSpace, !targetSpace]);
      sourceSpace = targetSpace = false;
    }
    sourceSpace ||= part.separator !== "";
    targetSpace ||= part.targetSeparator !== "";
  }
  return continues;
}
