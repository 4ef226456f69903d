/**
 * Protected spans: URLs, placeholders, file names and the like, which a translation must keep as they are.
 *
 * A translation keeps a span if the span stands in it as often as in the source. restoration.js repairs one that does
 * not. A span is [start, end], the offsets of a stretch of text.
 */

import { firstIndex } from "./bisection.js";
import { normalise } from "./normalisation.js";
import { SPACE as S, WORD as W, characterAt, charactersBefore, escaped, matchSpans } from "./text.js";

const { raw } = String;
const w = `[${W}]`;

// Endings by which a bare name is known as a file.
const ENDINGS =
  "avi bat bmp bz2 cfg conf cpp css csv dat deb dll doc docx dmg epub exe flac gif gz htm html ini iso jar java jpeg " +
  "jpg js json log md mkv mov mp3 mp4 odp ods odt ogg onnx pdf php png po ppt pptx py rar rpm rs rst rtf sh sql srt " +
  "svg tar tex toml ts tsv ttf txt vtt wav webm webp whl xlf xls xlsx xml yaml yml zip";
const EMOJI_RANGES = raw`\u231a-\u231b\u23e9-\u23f3\u25fd-\u25fe\u2600-\u27bf\u2b05-\u2b55\u{1f004}-\u{1f0cf}\u{1f170}-\u{1faff}`;
const JOINED_EMOJI = raw`[${EMOJI_RANGES}][\ufe0f\u{1f3fb}-\u{1f3ff}]*`;

/** A regular expression of emoji: a flag, or emoji joined to one. */
export const EMOJI = raw`[\u{1f1e6}-\u{1f1ff}]{2}|${JOINED_EMOJI}(?:\u200d${JOINED_EMOJI})*`;

/**
 * Regular expressions of the spans of each kind, for the flag u.
 *
 * Each begins at the start of a run of its characters, so that a long run takes linear time.
 */
export const PATTERNS = {
  url:
    raw`(?<!${w})(?:https?|ftp|file)://[^${S}<>"'\x60{}|\\^]*[^${S}<>"'\x60{}|\\^.,;:!?)\]…]|` +
    raw`(?<![${W}.@/-])www\.[${W}-]+\.[^${S}<>"'\x60{}|\\^]*[^${S}<>"'\x60{}|\\^.,;:!?)\]…]|` +
    raw`(?<![${W}.@/\\-])(?:\*\.)?(?:[${W}-]+\.)+(?:com|edu|gov|net|org)(?![${W}@-]|\.${w})` +
    raw`(?:/[${W}./~%?&=#+-]*[${W}/])?`,
  "e-mail": raw`(?<![${W}.+-])[${W}.+-]+@[${W}-]+(?:\.[${W}-]+)+`,
  template: raw`\{\{[^{}\n]{1,200}\}\}|\{%[^%\n]{1,200}%\}|\$\{[^{}\n]{1,200}\}|\{[${W}.:!$,#*-]{0,60}\}`,
  format:
    raw`%[A-Z][A-Z0-9_]+%?|` +
    raw`(?<![${W}%])%(?:\(${w}+\)|\p{Nd}+\$)?[-+#0]*(?:(?!0)\p{Nd}+)?(?:\.\p{Nd}+)?(?:hh|h|ll|l|z)?` +
    raw`[diouxXeEfFgGcsaAp@](?![a-z])|%(?:\(${w}+\)|\p{Nd}+\$)[a-zA-Z]`,
  // Also $name$, and $A$1, which is a cell of a spreadsheet.
  variable: raw`(?<![${W}$])\$[A-Za-z_]${w}*(?:\([${W}.]*\)|\$(?!${w})|\$\p{Nd}+(?!${w}))?`,
  // Several words without "=" are no tag but a text to translate: <name of the file>.
  tag:
    raw`</?[A-Za-z][^${S}<>=]{0,100}(?:[${S}][^<>=\n]{0,100}(?:=[^<>\n]{0,300}|\.\.\.|…))?[${S}]?/?>|` +
    raw`<[a-z]+[${S}](?:async|checked|controls|defer|disabled|hidden|multiple|readonly|required|selected)[${S}]?/?>`,
  path:
    raw`(?<![${W}/.:~+@%-])(?:~|\.\.?)/[${W}./+@%-]*${w}|(?<![${W}/.:~+@%<-])/[${W}.+@%-]+/[${W}./+@%-]*${w}|` +
    raw`(?<![${W}\\:])(?:[A-Za-z]:\\|\\\\)[^${S}"'<>|?*:,;]*[^${S}"'<>|?*:,;.!()]|` +
    raw`(?<![${W}/\\.@-])(?:[${W}-]+[/\\])+[${W}-]+(?:\.[${W}-]+)*\.[a-zA-Z]${w}{0,4}(?!${w})|` +
    raw`(?<![${W}/\\.@-])[${W}-]+(?:\.[${W}-]+)*\.(?:${ENDINGS.replaceAll(" ", "|")})(?!${w}|\.${w})`,
  version:
    raw`(?<![${W}.])(?<!\p{Nd},)v?\p{Nd}+(?:\.\p{Nd}+){2,}(?:[-.]?(?:alpha|beta|dev|post|rc|a|b)[-.]?\p{Nd}*)?` +
    raw`(?!${w}|,\p{Nd})|(?<![${W}.])v\p{Nd}+(?:\.\p{Nd}+)+(?!${w}|,\p{Nd})`,
  mention: raw`(?<![${W}@./-])@[A-Za-z_]${w}*(?:[.-]${w}+)*`,
  // Spreadsheets translate the names of their errors, such as #N/A and #VALUE!.
  hashtag: raw`(?<![${W}#&/])#(?!(?:NAME|NULL|NUM|REF|VALUE)[!?])(?!\p{Nd})${w}+(?!${w}|/${w})`,
  emoji: raw`(?<![${W}:]):(?=[0-9_+-]*[a-z])[a-z0-9_+-]+:(?!${w}|:[${W}:])|[0-9#*]\ufe0f?\u20e3|${EMOJI}`,
};

/**
 * Symbols that a tokenizer may reserve for spans. A network that was trained with them copies them reliably. They are
 * characters for private use, one subword each.
 */
export const PLACEHOLDERS = [..."\ue010\ue011\ue012\ue013\ue014\ue015\ue016\ue017"];
const PLACEHOLDER = /[\ue010-\ue017]/gu;

// A text with a span of a kind has one of the kind's signs. A search for signs is much faster than one for spans.
const SIGNS = Object.entries({
  url: raw`://|www\.|\.(?:com|edu|gov|net|org)`,
  "e-mail": "@",
  template: raw`\{`,
  format: "%",
  variable: raw`\$`,
  tag: "<",
  path: raw`[/\\]|\.[a-z0-9]`,
  version: raw`\.\p{Nd}`,
  mention: "@",
  hashtag: "#",
  emoji: raw`:[^ ]+:|[\u20e3\u{1f1e6}-\u{1f1ff}${EMOJI_RANGES}]`,
}).map(([kind, sign]) => [kind, new RegExp(sign, "u")]);
const ANY_SIGN = new RegExp(raw`[@#$%{<\\/:\u20e3\u{1f1e6}-\u{1f1ff}${EMOJI_RANGES}]|\.${w}`, "u");

const compiled = new Map();

/** Return a regular expression of the spans of a kind. It is made when it is needed, which takes milliseconds. */
function spansOf(kind) {
  if (!compiled.has(kind)) compiled.set(kind, new RegExp(PATTERNS[kind], "gu"));
  return compiled.get(kind);
}

/** Return the spans of all kinds in a text. */
function found(text) {
  if (!ANY_SIGN.test(text)) return [];
  const kinds = SIGNS.filter(([, sign]) => sign.test(text)).map(([kind]) => ({ pattern: spansOf(kind), next: -1 }));
  const spans = [];
  for (let position = 0; ;) {
    // As in an alternation of the patterns, the first match counts, and of those at one place that of the first kind.
    for (const kind of kinds) if (kind.next < position) search(kind, text, position);
    const next = Math.min(...kinds.map((kind) => kind.next));
    if (next === Infinity) return spans;
    position = kinds.find((kind) => kind.next === next).end;
    spans.push([next, position]);
  }
}

/** Set the start and the end of a kind's next span from a position, or Infinity. */
function search(kind, text, position) {
  kind.pattern.lastIndex = position;
  const match = kind.pattern.exec(text);
  kind.next = match ? match.index : Infinity;
  kind.end = kind.pattern.lastIndex;
}

/**
 * Return the spans in a normalised text that its translation must keep, in order.
 *
 * @param {string} text
 * @param {Iterable<string>} [others] Further strings to keep, wherever they stand in the text as whole words.
 * @returns {[number, number][]}
 */
export function protectedSpans(text, others = []) {
  const spans = found(text);
  const strings = new Set(Array.from(others, (string) => normalise(string)));
  const contained = [...strings].filter((string) => string && text.includes(string));
  if (!contained.length) return spans;
  // The others come first, and the longest of those that overlap.
  const pattern = new RegExp(longestFirst(contained).map(whole).join("|"), "gu");
  const chosen = matchSpans(pattern, text).filter(([start, end]) => {
    // A string within a longer span, such as a word of a URL, is kept with it.
    return !sharing(spans, start, end).some(([a, b]) => a <= start && end <= b && (a !== start || b !== end));
  });
  const rest = spans.filter(([start, end]) => !sharing(chosen, start, end).length);
  return [...chosen, ...rest].sort((a, b) => a[0] - b[0]);
}

/** Return those of some spans, which are in order and apart, that share characters with another span. */
function sharing(spans, start, end) {
  const first = firstIndex(spans, (span) => span[1] > start);
  return spans.slice(
    first,
    firstIndex(spans, (span) => span[0] >= end, first),
  );
}

/**
 * Return strings in the order of their length, the longest first, and those of one length by their characters.
 * @param {Iterable<string>} strings
 * @returns {string[]}
 */
export function longestFirst(strings) {
  const listed = Array.from(strings, (string) => [...string]);
  listed.sort((a, b) => {
    const i = a.findIndex((character, j) => character !== b[j]);
    return b.length - a.length || (i < 0 ? 0 : a[i].codePointAt(0) - b[i].codePointAt(0));
  });
  return listed.map((characters) => characters.join(""));
}

/**
 * Return a text with placeholders in place of its first spans, and the spans by their placeholders.
 *
 * A text that has a placeholder of its own stays as it is.
 *
 * @param {string} text
 * @param {[number, number][]} spans
 * @returns {[string, Map<string, string>]}
 */
export function hide(text, spans) {
  const hidden = new Map();
  if (text.search(PLACEHOLDER) >= 0) return [text, hidden];
  let [result, position] = ["", 0];
  for (const [i, [start, end]] of spans.slice(0, PLACEHOLDERS.length).entries()) {
    result += text.slice(position, start) + PLACEHOLDERS[i];
    hidden.set(PLACEHOLDERS[i], text.slice(start, end));
    position = end;
  }
  return [result + text.slice(position), hidden];
}

/**
 * Return a text with spans in place of their placeholders. A placeholder without a span is removed.
 * @param {string} text
 * @param {Map<string, string>} hidden
 * @returns {string}
 */
export function show(text, hidden) {
  return hidden.size ? text.replace(PLACEHOLDER, (symbol) => hidden.get(symbol) ?? "") : text;
}

/**
 * Return the emoji of a text that normalisation would change, by their normalised spelling.
 *
 * It removes the selectors that ask for a coloured picture (U+FE0F).
 *
 * @param {string} text
 * @returns {Map<string, string>}
 */
export function emojiSpellings(text) {
  if (!text.includes("\ufe0f")) return new Map();
  const emoji = text.match(spansOf("emoji")) ?? [];
  return new Map(emoji.filter((each) => each.includes("\ufe0f")).map((each) => [normalise(each), each]));
}

/**
 * Return a text with its emoji as `emojiSpellings` gives them.
 * @param {string} text
 * @param {Map<string, string>} spellings
 * @returns {string}
 */
export function respell(text, spellings) {
  return spellings.size ? text.replace(spansOf("emoji"), (emoji) => spellings.get(emoji) ?? emoji) : text;
}

const STARTS_WITH_WORD = new RegExp(`^${w}`, "u");
const ENDS_WITH_WORD = new RegExp(`${w}$`, "u");

/**
 * Return a regular expression, for the flag u, of a string that stands alone, not within a word.
 * @param {string} string
 * @returns {string}
 */
export function whole(string) {
  const before = STARTS_WITH_WORD.test(string) ? `(?<!${w})` : "";
  const after = ENDS_WITH_WORD.test(string) ? `(?!${w})` : "";
  return before + escaped(string) + after;
}

/**
 * Return how often a string stands in a text as a whole word.
 * @param {string} text
 * @param {string} string
 * @returns {number}
 */
export function countIn(text, string) {
  const [first, last] = [STARTS_WITH_WORD.test(string), ENDS_WITH_WORD.test(string)];
  let count = 0;
  for (let at = text.indexOf(string); at >= 0; at = text.indexOf(string, at)) {
    const end = at + string.length;
    const isWithinWord =
      (first && ENDS_WITH_WORD.test(charactersBefore(text, at))) ||
      (last && STARTS_WITH_WORD.test(characterAt(text, end)));
    if (!isWithinWord) count++;
    at = isWithinWord ? at + 1 : end;
  }
  return count;
}

/**
 * Return the protected spans that do not stand in a translation as often as in the source.
 * @param {string} source
 * @param {[number, number][]} spans
 * @param {string} target
 * @returns {string[]}
 */
export function lostSpans(source, spans, target) {
  const strings = new Set(spans.map(([start, end]) => source.slice(start, end)));
  return [...strings].filter((string) => countIn(source, string) !== countIn(target, string));
}
