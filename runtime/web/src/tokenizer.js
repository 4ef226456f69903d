/**
 * Convert text to token ids and back, with the SentencePiece models of Dragoman files: BPE or unigram, with byte
 * fallback and without SentencePiece's own normalisation.
 *
 * Source: Kudo and Richardson 2018. The rules of ties and of rounding are those of SentencePiece 0.2.
 */

import { BOS, EOS, PAD, UNK } from "./contract.js";
import { ModelFileError } from "./errors.js";
import { VERSION, normalise } from "./normalisation.js";
import { PLACEHOLDERS, longestFirst } from "./protection.js";
import { fieldsOf, textOf } from "./protobuf.js";
import { codePointLength, escaped, textOfBytes } from "./text.js";

const UNKNOWN_PENALTY = 10; // of a character that no subword has, below the lowest score
const SPACE_SYMBOL = "\u2581";
const [NORMAL, CONTROL, USER_DEFINED, BYTE] = [1, 3, 4, 6];
const BPE = 2;

const encoder = new TextEncoder();

/** A SentencePiece model with Dragoman's special ids, and the normalisation of its text. */
export class Tokenizer {
  #pieces = []; // {text, score, type} of each id
  #ids = new Map(); // of subwords and user-defined symbols
  #bytes = []; // the id of each byte
  #longest = 0; // characters of a subword
  #symbols; // a pattern of user-defined symbols, or null
  #isBpe;
  #lowest = Infinity; // score of a subword
  #highest = -Infinity;

  /** Load a SentencePiece model. Throws ModelFileError for one that Dragoman does not write. */
  constructor(model, normalisation = VERSION) {
    this.normalisation = normalisation;
    try {
      this.#read(model);
    } catch (error) {
      if (error instanceof ModelFileError) throw error;
      throw new ModelFileError("the tokenizer is not a SentencePiece model");
    }
    const special = ["<pad>", "<unk>", "<s>", "</s>"].map((text) => this.#pieces.findIndex((p) => p.text === text));
    if (String(special) !== String([PAD, UNK, BOS, EOS])) {
      throw new ModelFileError(
        `the tokenizer's special ids (pad, unk, bos, eos) are (${special.join(", ")}), and a Dragoman model has ` +
          `(${[PAD, UNK, BOS, EOS].join(", ")})`,
      );
    }
  }

  #read(model) {
    let modelType, normaliser;
    for (const [number, value] of fieldsOf(model)) {
      if (number === 1) {
        const { 1: text, 2: score = 0, 3: type = NORMAL } = Object.fromEntries(fieldsOf(value));
        this.#pieces.push({ text: textOf(text), score, type });
      } else if (number === 2) {
        modelType = Object.fromEntries(fieldsOf(value))[3];
      } else if (number === 3) {
        normaliser = Object.fromEntries(fieldsOf(value));
      }
    }
    if (!this.#pieces.length) throw new RangeError("no subwords");
    if (normaliser?.[2]?.length) {
      throw new ModelFileError("the tokenizer normalises text by rules of its own; train it with the rule `identity`");
    }
    this.#isBpe = modelType === BPE;
    this.#pieces.forEach(({ text, score, type }, id) => {
      if (type === BYTE) this.#bytes[parseInt(text.slice(3, 5), 16)] = id;
      if (type !== NORMAL && type !== USER_DEFINED) return;
      this.#ids.set(text, id);
      this.#longest = Math.max(this.#longest, codePointLength(text));
      if (type !== NORMAL) return;
      this.#lowest = Math.min(this.#lowest, score);
      this.#highest = Math.max(this.#highest, score);
    });
    const symbols = this.#pieces.filter(({ type }) => type === USER_DEFINED).map(({ text }) => text);
    // The longest one that stands somewhere counts.
    this.#symbols = symbols.length ? new RegExp(longestFirst(symbols).map(escaped).join("|"), "gu") : null;
  }

  /** The size of the vocabulary. */
  get size() {
    return this.#pieces.length;
  }

  /** True if the vocabulary reserves symbols for protected spans: PLACEHOLDERS, with ids in a row. */
  get hasPlaceholders() {
    const first = this.#ids.get(PLACEHOLDERS[0]);
    return first > EOS && PLACEHOLDERS.every((symbol, i) => this.#ids.get(symbol) === first + i);
  }

  /** Return a text normalised as in the training of the model. */
  normalise(text) {
    return normalise(text, this.normalisation);
  }

  /** Return the ids of a text, closed by `</s>`. The text is normalised first. */
  encode(text) {
    return [...this.encodeWord(this.normalise(text)), EOS];
  }

  /** Return the ids of a normalised text, without `</s>`. */
  encodeWord(text) {
    if (!text) return [];
    const spelled = SPACE_SYMBOL + text.replaceAll(" ", SPACE_SYMBOL);
    const ids = [];
    for (const [piece, id] of this.#isBpe ? this.#merged(spelled) : this.#bestPath(spelled)) {
      if (id !== undefined) ids.push(id);
      else for (const byte of encoder.encode(piece)) ids.push(this.#bytes[byte] ?? UNK);
    }
    return ids;
  }

  /** Return the text of ids without the special ones. The text is normalised, so it is always one line. */
  decode(ids) {
    const texts = [];
    let bytes = [];
    for (const id of ids) {
      if (!(EOS < id && id < this.size)) continue;
      const { text, type } = this.#pieces[id];
      if (type === BYTE) {
        bytes.push(parseInt(text.slice(3, 5), 16));
      } else if (type !== CONTROL) {
        texts.push(textOfBytes(bytes), text.replaceAll(SPACE_SYMBOL, " "));
        bytes = [];
      }
    }
    return this.normalise(texts.join("") + textOfBytes(bytes));
  }

  /** Return the subword of each id, with `▁` for a space. */
  subwords(ids) {
    return Array.from(ids, (id) => this.#pieces[id].text);
  }

  /** Yield user-defined symbols, and other characters, as [text, whether it is a symbol]. */
  *#characters(text) {
    let position = 0;
    for (const match of this.#symbols ? text.matchAll(this.#symbols) : []) {
      for (const character of text.slice(position, match.index)) yield [character, false];
      yield [match[0], true];
      position = match.index + match[0].length;
    }
    for (const character of text.slice(position)) yield [character, false];
  }

  /** Return [subword, id] of a text by merging pairs, those of the best score first (BPE). */
  #merged(text) {
    const symbols = Array.from(this.#characters(text), ([piece, isSymbol], i) => ({
      piece,
      isSymbol,
      before: i - 1,
      after: i + 1,
    }));
    symbols.at(-1).after = -1;
    const agenda = new Heap();
    const add = (left, right) => {
      if (left < 0 || right < 0 || symbols[left].isSymbol || symbols[right].isSymbol) return;
      const piece = symbols[left].piece + symbols[right].piece;
      const id = this.#ids.get(piece);
      if (id !== undefined) agenda.push({ score: this.#pieces[id].score, left, right, piece });
    };
    for (let i = 1; i < symbols.length; i++) add(i - 1, i);
    for (let pair = agenda.pop(); pair; pair = agenda.pop()) {
      const { left, right, piece } = pair;
      const [a, b] = [symbols[left], symbols[right]];
      if (!a.piece || !b.piece || a.piece.length + b.piece.length !== piece.length) continue; // one was merged before
      a.piece = piece;
      b.piece = "";
      a.after = b.after;
      if (b.after >= 0) symbols[b.after].before = left;
      add(a.before, left);
      add(left, a.after);
    }
    return symbols.filter(({ piece }) => piece).map(({ piece }) => [piece, this.#ids.get(piece)]);
  }

  /** Return [subword, id] of the most probable segmentation of a text (Viterbi), in single precision. */
  #bestPath(text) {
    const characters = [...text];
    const unknown = Math.fround(Math.fround(this.#lowest) - UNKNOWN_PENALTY);
    const best = characters.map(() => null); // of the paths that end before the next character: {score, start, id}
    for (let start = 0; start < characters.length; start++) {
      const before = start ? best[start - 1].score : 0;
      const offer = (end, score, id) => {
        const sum = Math.fround(score + before);
        if (!best[end] || sum > best[end].score) best[end] = { score: sum, start, id };
      };
      let piece = "";
      let hasSingle = false;
      for (let end = start; end < Math.min(characters.length, start + this.#longest); end++) {
        piece += characters[end];
        const id = this.#ids.get(piece);
        if (id === undefined) continue;
        const { score, type } = this.#pieces[id];
        const ofSymbol = () => Math.fround(Math.fround(encoder.encode(piece).length * this.#highest) - 0.1);
        offer(end, type === USER_DEFINED ? ofSymbol() : score, id);
        hasSingle ||= end === start;
      }
      if (!hasSingle) offer(start, unknown, undefined);
    }
    const path = [];
    for (let end = characters.length; end > 0;) {
      const { start, id } = best[end - 1];
      path.push([characters.slice(start, end).join(""), id]);
      end = start;
    }
    return path.reverse();
  }
}

/** Pairs of symbols to merge: the best score first, then the leftmost (a binary heap). */
class Heap {
  #pairs = [];

  push(pair) {
    const pairs = this.#pairs;
    let i = pairs.push(pair) - 1;
    for (let parent = (i - 1) >> 1; i && comesFirst(pair, pairs[parent]); parent = (i - 1) >> 1) {
      pairs[i] = pairs[parent];
      i = parent;
    }
    pairs[i] = pair;
  }

  pop() {
    const pairs = this.#pairs;
    const first = pairs[0];
    const last = pairs.pop();
    if (!pairs.length) return first;
    let i = 0;
    for (let child = 1; child < pairs.length; child = 2 * i + 1) {
      if (child + 1 < pairs.length && comesFirst(pairs[child + 1], pairs[child])) child++;
      if (!comesFirst(pairs[child], last)) break;
      pairs[i] = pairs[child];
      i = child;
    }
    pairs[i] = last;
    return first;
  }
}

function comesFirst(a, b) {
  return a.score > b.score || (a.score === b.score && a.left < b.left);
}
