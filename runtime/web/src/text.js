/**
 * Characters as Python's `str` and `re` know them.
 *
 * Characters are code points here. Offsets are in UTF-16 units, as everywhere in JavaScript; they never lie within a
 * surrogate pair.
 */

// Python's \w and \s, to stand inside the brackets of a regular expression with the flag u.
export const WORD = String.raw`\p{L}\p{N}_`;
export const SPACE = String.raw`\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000`;

const SYNTAX = /[\\^$.*+?()[\]{}|/]/g;
const PAIR = /[\ud800-\udbff][\udc00-\udfff]/g;

/** Return a function that tells whether a text is not empty and has only characters of a class. */
function consistsOf(characters) {
  const pattern = new RegExp(`^[${characters}]+$`, "u");
  return (text) => pattern.test(text);
}

/** `str.isspace`. @type {(text: string) => boolean} */
export const isSpace = consistsOf(SPACE);

/** `str.isdecimal`. @type {(text: string) => boolean} */
export const isDecimal = consistsOf(String.raw`\p{Nd}`);

/** `str.isalpha`. @type {(text: string) => boolean} */
export const isAlpha = consistsOf(String.raw`\p{L}`);

/** `str.isalnum`. @type {(text: string) => boolean} */
export const isAlnum = consistsOf(String.raw`\p{L}\p{N}`);

/**
 * `str.isascii`.
 * @param {string} text
 * @returns {boolean}
 */
export function isAscii(text) {
  return !/[^\0-\x7f]/.test(text);
}

/**
 * `str.islower`.
 * @param {string} text
 * @returns {boolean}
 */
export function isLower(text) {
  return /\p{Lowercase}/u.test(text) && !/[\p{Uppercase}\p{Lt}]/u.test(text);
}

/**
 * `str.isupper`.
 * @param {string} text
 * @returns {boolean}
 */
export function isUpper(text) {
  return /\p{Uppercase}/u.test(text) && !/[\p{Lowercase}\p{Lt}]/u.test(text);
}

/**
 * Return the number of characters of a text.
 * @param {string} text
 * @returns {number}
 */
export function codePointLength(text) {
  return text.length - (text.match(PAIR)?.length ?? 0);
}

/**
 * Return the character at an offset, or "" at the end of the text.
 * @param {string} text
 * @param {number} offset
 * @returns {string}
 */
export function characterAt(text, offset) {
  return offset < text.length ? String.fromCodePoint(text.codePointAt(offset)) : "";
}

/**
 * Return the characters before an offset: `n` of them, or fewer at the start of the text.
 * @param {string} text
 * @param {number} offset
 * @param {number} [n]
 * @returns {string}
 */
export function charactersBefore(text, offset, n = 1) {
  // A pair that the first slice cuts in two is never among the last n.
  return Array.from(text.slice(Math.max(0, offset - 2 * n), offset))
    .slice(-n)
    .join("");
}

/**
 * Return a text in pieces of `size` characters. The last piece may be shorter.
 * @param {string} text
 * @param {number} size
 * @returns {string[]}
 */
export function chunks(text, size) {
  return text.match(new RegExp(`.{1,${size}}`, "gsu")) ?? [];
}

/**
 * Return a text without the spaces (U+0020) at its ends.
 * @param {string} text
 * @returns {string}
 */
export function stripSpaces(text) {
  let [start, end] = [0, text.length];
  while (text[start] === " ") start++;
  while (end > start && text[end - 1] === " ") end--;
  return text.slice(start, end);
}

/**
 * `re.escape`, for regular expressions with the flag u.
 * @param {string} string
 * @returns {string}
 */
export function escaped(string) {
  return string.replace(SYNTAX, String.raw`\$&`);
}

/**
 * Return the offsets of the matches of a global regular expression.
 * @param {RegExp} pattern
 * @param {string} text
 * @returns {[number, number][]}
 */
export function matchSpans(pattern, text) {
  return Array.from(text.matchAll(pattern), ({ 0: match, index }) => [index, index + match.length]);
}

const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Return the text of bytes in UTF-8, like SentencePiece: with U+FFFD for each byte that is part of no character.
 * @param {number[]} bytes
 * @returns {string}
 */
export function textOfBytes(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length;) {
    const size = bytes[i] < 0xc0 ? 1 : bytes[i] < 0xe0 ? 2 : bytes[i] < 0xf0 ? 3 : 4; // by the first byte
    try {
      text += strictDecoder.decode(Uint8Array.from(bytes.slice(i, i + size)));
      i += size;
    } catch {
      text += "\ufffd";
      i++;
    }
  }
  return text;
}
