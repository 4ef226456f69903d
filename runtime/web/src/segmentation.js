/** Split text that is too long for one translation: at sentences, then clauses, then words, then characters. */

import { abbreviations } from "./abbreviations.js";
import {
  SPACE,
  characterAt,
  charactersBefore,
  chunks,
  codePointLength,
  isAlpha,
  isAscii,
  isDecimal,
  isLower,
  isUpper,
  stripSpaces,
} from "./text.js";

// A sentence may end after its closing punctuation and the quotes, brackets and marks of footnotes after it. German and
// Czech close with “ or «, French with a space and ». Full-width punctuation needs no space after it. No match starts
// inside a run of punctuation; otherwise a long run would take quadratic time. Marks may have spaces between them, as
// in `. . .`.
const ENDS = ".!?…؟۔।॥։။។៕།༎";

function sentenceEnd(ends) {
  const closing = String.raw`(?:["'”“’‘»«›‹״)\]*†]|\[[0-9]+\]| [»›])*`;
  return new RegExp(`(?<![${ends}])[${ends}]+(?: [${ends}]+(?= ))*${closing}(?= )|[。！？｡።፧]+[”’」』）》]*`, "gu");
}

const SENTENCE_END = sentenceEnd(ENDS);
// Greek asks with a semicolon, and Armenian often ends sentences with a colon.
const SENTENCE_END_OF = { __proto__: null, el: sentenceEnd(`${ENDS};`), hy: sentenceEnd(`${ENDS}:`) };
const CLAUSE_END = /[,;:—–،؛՝፣፤၊](?= )|[，、；：]/gu;
const WORD_END = /(?= )/gu;

const OPENING = /[ "'“”„«»‹›(\[¿¡—–-]*/uy; // spaces, quotes, brackets and dashes before the next word
// No spaces or punctuation; marks are letters.
const LAST_WORD = new RegExp(String.raw`[^${SPACE}!-/:-@\[-\x60{-~\xa1-\xbf\u2010-\u205e]+$`, "u");
const LOOK_BACK = 12; // characters, more than any abbreviation has

// Languages that write ordinal numbers with a full stop, by their ISO 639 codes. After it, German writes nouns with a
// capital; in the other languages a capital starts a sentence.
const GERMAN = "de deu ger gsw lb ltz".split(" ");
const ORDINALS = [
  ...GERMAN,
  ...(
    "da dan nb nob nn nno no nor fo fao is isl ice fi fin et est lv lav eu eus hu hun " +
    "cs ces cze sk slk sl slv hr hrv sr srp bs bos hsb dsb pl pol tr tur"
  ).split(" "),
];
/** Punctuation that needs no space after it. */
export const FULL_WIDTH = [..."。！？｡።፧，、；：”’」』）》"];
const CONTINUATIONS = [..."とっ、，"]; // what is said in quotes is part of a sentence

// Languages written without spaces between words, by their codes in BCP 47 and ISO 639.
const UNSPACED = "zh zho cmn yue ja jpn th tha lo lao km khm my mya bo bod dz dzo".split(" ");

/** Return the language of a code such as `de` or `zh-TW`, without script and region. */
function primaryLanguage(language) {
  return language.toLowerCase().split(/[-_]/)[0];
}

/**
 * Return whether a language is written with spaces between words.
 * @param {string} language
 * @returns {boolean}
 */
export function isSpaced(language) {
  return !UNSPACED.includes(primaryLanguage(language));
}

/**
 * Return the number of sentences in a normalised text, by the rules of `splitText`.
 * @param {string} text
 * @param {string} [language]
 * @returns {number}
 */
export function countSentences(text, language = "") {
  return unitsOf(text, sentenceEnds(language)).length;
}

/**
 * Split normalised text into slices that a model can take.
 *
 * Joining the texts and separators of all slices gives the text again. Adjacent short units share a slice, and a text
 * is split only where that is necessary: at sentences if possible, else at clauses, words or characters.
 *
 * @param {string} text Normalised text.
 * @param {(text: string) => number} count Returns the number of ids of a text.
 * @param {number} limit Largest `count` of a slice, at least 8.
 * @param {number | null} [maxSentences] Largest number of sentences in a slice; null for any number.
 * @param {string} [language] Language code. It decides, for example, whether "3. Mai" is one sentence or two.
 * @returns {{text: string, separator: string}[]} Slices, each with the white space after it.
 */
export function splitText(text, count, limit, maxSentences = null, language = "") {
  const finders = [sentenceEnds(language), endsOf(CLAUSE_END), endsOf(WORD_END)];
  return [...split(text, count, limit, finders, maxSentences)];
}

/**
 * Yield the slices of a text. It is split at the ends of the first finder, and what is still too long at those of the
 * next. A finder returns the offsets at which the units of a text end.
 *
 * maxUnits: Largest number of units of the first finder in a slice.
 */
function* split(text, count, limit, finders, maxUnits = null) {
  // A SentencePiece subword has at most 16 characters, so longer text cannot fit and need not be counted.
  const isShort = codePointLength(text) <= 16 * limit;
  const fits = isShort && count(text) <= limit;
  if (fits && (maxUnits === null || unitsOf(text, finders[0]).length <= maxUnits)) {
    yield { text, separator: "" };
    return;
  }
  if (!finders.length) {
    const size = isShort ? Math.ceil(codePointLength(text) / 2) : 8 * limit;
    for (const part of chunks(text, size)) yield* split(part, count, limit, finders);
    return;
  }
  let [pending, pendingCount, pendingUnits] = ["", 0, 0];
  for (const unit of unitsOf(text, finders[0])) {
    const unitCount = codePointLength(unit) <= 16 * limit ? count(unit) : limit + 1;
    if (pending && (pendingCount + unitCount > limit || pendingUnits === maxUnits)) {
      yield* splitStripped(pending, count, limit, finders.slice(1));
      [pending, pendingCount, pendingUnits] = ["", 0, 0];
    }
    pending += unit;
    pendingCount += unitCount;
    pendingUnits++;
  }
  yield* splitStripped(pending, count, limit, finders.slice(1));
}

/** Yield an empty slice whose separator is the text's leading spaces, and the slices of the text without them. */
function* splitStripped(text, count, limit, finders) {
  const nSpaces = text.search(/[^ ]|$/);
  if (nSpaces) yield { text: "", separator: " ".repeat(nSpaces) };
  const stripped = stripSpaces(text);
  if (stripped) yield* split(stripped, count, limit, finders);
}

/** Return a function that returns the ends of the matches of a pattern. */
function endsOf(pattern) {
  return (text) => Array.from(text.matchAll(pattern), ({ 0: match, index }) => index + match.length);
}

/** Return a function that returns the ends of sentences. */
function sentenceEnds(code) {
  const language = primaryLanguage(code);
  const pattern = SENTENCE_END_OF[language] ?? SENTENCE_END;
  return (text) => {
    const ends = [];
    let rules = null;
    for (const match of text.matchAll(pattern)) {
      rules ??= new Rules(text, language);
      if (!rules.continues(match, ends.at(-1) ?? 0)) ends.push(match.index + match[0].length);
    }
    return ends;
  };
}

/** Return the units of a text, each with the spaces before it. */
function unitsOf(text, findEnds) {
  const ends = [...findEnds(text), text.length];
  return ends.map((end, i) => text.slice(ends[i - 1] ?? 0, end)).filter(Boolean);
}

/** Rules that tell the end of a sentence from a full stop inside it, for one text. */
class Rules {
  #text;
  #lowerCase; // then a small letter after the punctuation says nothing
  #german;
  #ordinals;
  #beforeWords;
  #beforeNumbers;

  constructor(text, language) {
    this.#text = text;
    this.#lowerCase = isLower(text);
    this.#german = GERMAN.includes(language);
    this.#ordinals = ORDINALS.includes(language);
    [this.#beforeWords, this.#beforeNumbers] = abbreviations(language);
  }

  /** Return whether the sentence continues after punctuation that could end it, a match of SENTENCE_END. */
  continues({ 0: marks, index: start }, sentenceStart) {
    const end = start + marks.length;
    if (FULL_WIDTH.includes(marks[0])) return CONTINUATIONS.includes(this.#text[end]);
    OPENING.lastIndex = end;
    OPENING.test(this.#text); // it matches always, and sets the offset of its end
    const nextCharacter = characterAt(this.#text, OPENING.lastIndex);
    if (isLower(nextCharacter) && !this.#lowerCase) return true;
    const lastWord = this.#wordBefore(start);
    if (marks !== "." || !lastWord) return false;
    if (isDecimal(lastWord)) return this.#isOrdinal(lastWord, start - lastWord.length, sentenceStart, nextCharacter);
    return this.#isAbbreviation(lastWord, start - lastWord.length, nextCharacter);
  }

  #wordBefore(end) {
    return charactersBefore(this.#text, end, LOOK_BACK).match(LAST_WORD)?.[0];
  }

  /** Return whether a number with a full stop numbers a list or is an ordinal. */
  #isOrdinal(number, start, sentenceStart, nextCharacter) {
    if (codePointLength(number) > 2) return false;
    if (/^[ (]{0,2}$/.test(this.#text.slice(sentenceStart, start))) return true;
    const before = this.#text.slice(Math.max(0, start - 2), start) === ". " && this.#wordBefore(start - 2);
    if (before && this.#beforeNumbers.has(before.toLowerCase())) return false; // "Nr. 5."
    return this.#german || (this.#ordinals && (this.#lowerCase || isDecimal(nextCharacter)));
  }

  #isAbbreviation(lastWord, start, nextCharacter) {
    const word = lastWord.toLowerCase();
    const before = charactersBefore(this.#text, start, 2);
    const isLetter = codePointLength(word) === 1;
    if (isLetter && (before.endsWith("°") || (isDecimal(characterAt(before, 0)) && before.endsWith(" ")))) {
      return false; // a unit: "5 m", "20 °C"
    }
    if (this.#beforeWords.has(word) || (this.#beforeNumbers.has(word) && isDecimal(nextCharacter))) return true;
    if (!isLetter || !isAlpha(word)) return false;
    if (word === "m" && ["a.", "p."].includes(before.toLowerCase())) return false; // "5 p.m."
    // An initial or "z. B."; but "I" may end a sentence, and so may a small letter in Russian.
    return word !== "i" && (isAscii(word) || isUpper(lastWord));
  }
}
