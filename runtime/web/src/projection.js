/**
 * Places of copied texts in a translation, by attention. This is the part of runtime/documents/projection.py that the
 * restoration of spans needs: there are no tags, every text is copied, and one attention map covers the translation.
 *
 * A target word belongs to a copied text as far as the model attended to the text when it wrote that word. A text gets
 * the stretch of words that belongs to it most: the one with the largest sum of (share - 1/2). A text that the
 * translation has unchanged is found by its spelling instead.
 *
 * Positions are counted in visible characters, that is without white space, because normalisation and splitting change
 * white space. Axis letters: W target words, S source subwords.
 */

import { firstIndex } from "./bisection.js";
import { normalise } from "./normalisation.js";
import { EMOJI } from "./protection.js";
import { SPACE, characterAt, codePointLength, escaped, isAscii, isSpace, matchSpans, textOfBytes } from "./text.js";

/** The start of a text in a script without spaces between words, or their punctuation. */
export const UNSPACED_SCRIPTS =
  /^[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef]/u;
// Shares are rounded to multiples of 1 / SHARE_STEPS, so that sums of them are exact in any order.
const SHARE_STEPS = 2 ** 20;
const EMOJI_PATTERN = new RegExp(EMOJI, "gu");
const INVISIBLE = new RegExp(`[${SPACE}\\p{Cf}]`, "gu");
const BYTE = /^<0x([0-9A-F]{2})>$/;

/**
 * Return the stretch of the target that each span of the source should take the place of.
 *
 * @param {string} source
 * @param {[number, number][]} spans
 * @param {string} target
 * @param {{sourceSubwords: string[], targetSubwords: string[], weights: Float32Array[]}} attention
 * @returns {[number, number][]}
 */
export function placesOfCopies(source, spans, target, attention) {
  const before = visibleCounter(source);
  const copies = spans.map(([start, end]) => ({
    text: source.slice(start, end),
    start: before(start),
    end: before(end),
  }));
  const placement = new Placement(target, attention);
  placement.place(copies);
  return copies.map((copy) => placement.offsets(copy));
}

/**
 * Return a function that returns the number of visible characters before a position, as they are after normalisation.
 * Positions must not decrease.
 */
function visibleCounter(text) {
  let [position, count] = [0, 0];
  return (next) => {
    count += visibleLength(normalise(text.slice(position, next)));
    position = next;
    return count;
  };
}

/**
 * Return the number of characters of a normalised text without white space and joiners.
 * @param {string} text
 * @returns {number}
 */
export function visibleLength(text) {
  return codePointLength(text.replace(INVISIBLE, ""));
}

/** Places copied texts among the words of a target text. */
class Placement {
  #target;
  #words; // offsets in the text
  #wordAt; // by start
  #wordBefore; // the word after it, by end
  #source; // visible characters of the S source subwords
  #firstWord; // number of the first of the W target words
  #attention; // of each target word to each source subword, summed over the word's characters, (W, S)

  constructor(target, attention) {
    this.#target = target;
    this.#words = [...wordsOf(target)];
    this.#wordAt = new Map(this.#words.map(([start], word) => [start, word]));
    this.#wordBefore = new Map(this.#words.map(([, end], word) => [end, word + 1]));
    const before = visibleCounter(target);
    const wordSpans = this.#words.map(([start, end]) => [before(start), before(end)]);
    const wordEnds = wordSpans.map(([, end]) => end);
    this.#source = subwordSpans(attention.sourceSubwords);
    const targetSpans = subwordSpans(attention.targetSubwords);
    this.#firstWord = firstIndex(wordEnds, (end) => end > 0);
    const goal = targetSpans.at(-1)[1];
    const last = Math.min(firstIndex(wordEnds, (end) => end >= goal) + 1, this.#words.length);
    const length = Math.max(last - this.#firstWord, 0);
    this.#attention = Array.from({ length }, () => new Float64Array(this.#source.length));
    for (const [t, [a, b]] of targetSpans.entries()) {
      let word = Math.max(
        firstIndex(wordEnds, (end) => end > a),
        this.#firstWord,
      );
      for (; a < b && word < last && wordSpans[word][0] < b; word++) {
        const shared = overlap([a, b], wordSpans[word]);
        for (const [s, [start, end]] of this.#source.entries()) {
          if (start === end) continue; // </s>
          this.#attention[word - this.#firstWord][s] += Math.fround(attention.weights[t][s] * shared);
        }
      }
    }
  }

  /**
   * Return how far each target word belongs to the source characters from `start` to `end`.
   *
   * It is the first word's number, and the share of attention for this word and those after it.
   */
  #shares(start, end) {
    if (this.#source.at(-1)[1] <= start) return [0, []];
    const covered = this.#source.map((span) => overlap(span, [start, end]) / Math.max(span[1] - span[0], 1));
    const shares = this.#attention.map((row) => {
      const given = sum(row.map((weight, s) => weight * covered[s]));
      return Math.floor((given / Math.max(sum(row), 1e-9)) * SHARE_STEPS + 0.5) / SHARE_STEPS;
    });
    return [this.#firstWord, shares];
  }

  /** Set the first word of each copy, and the word after its last one. */
  place(copies) {
    const wanted = copies.map((copy) => {
      const [offset, shares] = this.#shares(copy.start, copy.end);
      return { copy, offset, shares, largest: Math.max(0, ...shares) };
    });
    let free = [[0, this.#words.length]];
    for (const { copy, offset, shares } of wanted.sort((a, b) => b.largest - a.largest)) {
      [copy.first, copy.last] = this.#bestStretch(copy, offset, shares, free);
      free = without(free, copy.first, copy.last);
    }
  }

  /** Return the stretch of free words that belongs to a copy most. */
  #bestStretch(copy, offset, shares, free) {
    const found = this.#find(copy.text, offset, shares, free);
    if (found) return found;
    let [best, bestScore] = [null, -Infinity];
    for (const [gapFirst, gapLast] of free) {
      const first = Math.max(gapFirst, offset);
      const last = Math.min(gapLast, offset + shares.length);
      if (first >= last) continue;
      const [stretch, score] = largestSum(shares.slice(first - offset, last - offset).map((share) => share - 0.5));
      if (score > bestScore) [best, bestScore] = [[first + stretch[0], first + stretch[1]], score];
    }
    if (!best) {
      const at = Math.min(Math.max(offset, free[0]?.[0] ?? 0), this.#words.length); // no word is left
      return [at, at];
    }
    return bestScore > 0 ? best : this.#gapFor(copy, free); // no word was written for it
  }

  /** Return the place for text without words of its own: after the word of the character before it. */
  #gapFor(copy, free) {
    let at = 0;
    if (copy.start) {
      const [offset, shares] = this.#shares(copy.start - 1, copy.start);
      at = shares.length ? offset + shares.indexOf(Math.max(...shares)) + 1 : offset;
    }
    const distances = free.map(([first, last]) => Math.max(first - at, at - last, 0));
    const [first, last] = free[distances.indexOf(Math.min(...distances))];
    at = Math.min(Math.max(at, first), last);
    return [at, at];
  }

  /** Return the free words that are exactly a text, those with the largest share if there are several. */
  #find(text, offset, shares, free) {
    let [best, bestShare, gap] = [null, -Infinity, 0];
    for (const [first, last] of this.#spelled(normalise(text))) {
      while (gap < free.length && free[gap][1] < last) gap++; // both are in order
      if (gap === free.length) break;
      if (free[gap][0] > first) continue;
      const share = offset < last ? sum(shares.slice(Math.max(first - offset, 0), last - offset)) : 0;
      if (share >= bestShare) [best, bestShare] = [[first, last], share];
    }
    return best;
  }

  /** Return the stretches of words that spell a text, in order. */
  #spelled(text) {
    const matches = matchSpans(new RegExp(escaped(text), "gu"), this.#target);
    const stretches = matches.map(([start, end]) => [this.#wordAt.get(start), this.#wordBefore.get(end)]);
    return stretches.filter(([first, last]) => first !== undefined && last !== undefined);
  }

  /** Return the offsets of a copy's words in the target. */
  offsets({ first, last }) {
    const start = first < this.#words.length ? this.#words[first][0] : this.#target.length;
    return [start, first < last ? Math.max(start, this.#words[last - 1][1]) : start];
  }
}

function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0);
}

/** Return the non-empty stretch of values with the largest sum, and the sum (Kadane's algorithm). */
function largestSum(values) {
  let [best, bestSum] = [[0, 1], -Infinity];
  let [start, total] = [0, 0];
  for (const [i, value] of values.entries()) {
    if (total <= 0) [start, total] = [i, 0];
    total += value;
    if (total > bestSum) [best, bestSum] = [[start, i + 1], total];
  }
  return [best, bestSum];
}

/** Return gaps, none of them empty, without the words from `first` to `last`. */
function without(gaps, first, last) {
  const rest = gaps.flatMap(([a, b]) =>
    last <= a || b <= first
      ? [[a, b]]
      : [
          [a, first],
          [last, b],
        ],
  );
  return rest.filter(([a, b]) => a < b);
}

function overlap(a, b) {
  return Math.max(Math.min(a[1], b[1]) - Math.max(a[0], b[0]), 0);
}

/**
 * Return the visible characters of each subword.
 *
 * The bytes of a character that has no subword share its place.
 *
 * @param {string[]} subwords
 * @returns {[number, number][]}
 */
export function subwordSpans(subwords) {
  const spans = [];
  let [position, bytes] = [0, []];
  for (const [i, subword] of subwords.entries()) {
    const byte = BYTE.exec(subword);
    if (byte) {
      bytes.push(parseInt(byte[1], 16));
      if (BYTE.test(subwords[i + 1])) continue;
    }
    const text = byte ? textOfBytes(bytes) : subword === "</s>" ? "" : subword.replaceAll("▁", "");
    const end = position + visibleLength(text);
    for (let n = byte ? bytes.length : 1; n > 0; n--) spans.push([position, end]);
    [position, bytes] = [end, []];
  }
  return spans;
}

/**
 * Yield the offsets of words, numbers, emoji and single marks in a text.
 * @param {string} text
 * @returns {Generator<[number, number]>}
 */
export function* wordsOf(text) {
  let position = 0;
  for (const [start, end] of isAscii(text) ? [] : matchSpans(EMOJI_PATTERN, text)) {
    yield* wordsWithoutEmoji(text, position, start);
    yield [start, end];
    position = end;
  }
  yield* wordsWithoutEmoji(text, position, text.length);
}

function* wordsWithoutEmoji(text, first, last) {
  let [start, kind] = [first, ""];
  let i = first;
  for (const character of text.slice(first, last)) {
    const next = i + character.length;
    const now = kindOf(character);
    const joins = (now === kind && (now === "L" || now === "N")) || (now === "M" && kind);
    const isInner = (character === "'" || character === "’") && kind === "L" && kindOf(characterAt(text, next)) === "L";
    if (!joins && !isInner) {
      if (kind) yield [start, i];
      [start, kind] = [i, now];
    }
    i = next;
  }
  if (kind) yield [start, last];
}

const LETTER = /^\p{L}/u;
const MARK = /^[\p{M}\p{Cf}]/u;
const NUMBER = /^\p{N}/u;

/** Return the kind of a character: a letter, mark, number or other sign; nothing for white space. */
function kindOf(character) {
  if (!character || isSpace(character)) return "";
  if (MARK.test(character)) return "M";
  const category = LETTER.test(character) ? "L" : NUMBER.test(character) ? "N" : "P";
  return category !== "P" && UNSPACED_SCRIPTS.test(character) ? "C" : category; // each is a word of its own
}
