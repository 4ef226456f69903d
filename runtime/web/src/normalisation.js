/**
 * Text normalisation, the same in training, evaluation and every host. docs/file-format.md describes the rules.
 *
 * A model keeps the version of the rules that it was trained with: the key `dragoman.normalisation` of its file.
 */

import { characterAt, charactersBefore, stripSpaces } from "./text.js";

export const VERSION = 2; // of the rules that new models are trained with

const { raw } = String;

const SURROGATES = /[\ud800-\udfff]/gu; // the flag u leaves pairs alone

// Version 1
const SPACES_1 = /[ \t\r\n\v\f\x85\u2028\u2029]+/g;
const CONTROL_1 = /[\x00-\x1f\x7f-\x9f\ufeff]/g;

// Version 2
// Characters of European languages that normalisation leaves alone, whatever stands beside them; and text of them.
const USUAL = raw`!-~\xa1-\xac\xae-\u017f\u0400-\u0482\u048a-\u052f–—‘’‚“‘”„…€`;
const PLAIN = new RegExp(`^[${USUAL}]+(?: [${USUAL}]+)*$`);
const SPACES = /[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/g; // Unicode's White_Space

// Control characters, Unicode's Default_Ignorable_Code_Point without the joiners, and annotation marks. Two kinds carry
// meaning: selectors after a Mongolian letter, and the tags that spell the region of a flag (UTS #51, ED-14a).
const INVISIBLE = new RegExp(
  raw`([\u1820-\u18aa][\u180b-\u180f]+|\u{1f3f4}[\u{e0030}-\u{e0039}\u{e0061}-\u{e007a}]+\u{e007f})|` +
    raw`[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e` +
    raw`\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\u{1bca0}-\u{1bca3}` +
    raw`\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]+`,
  "gu",
);

// Zero-width non-joiner and joiner, and the letters and marks of the scripts that join their letters.
const JOINERS = /[\u200c\u200d]+/g;
const JOINING = new RegExp(
  raw`(?=[\p{L}\p{M}])[\u0600-\u109f\u1700-\u18af\u1900-\u1cff\ua800-\uaaff\uabc0-\uabff\ufb50-\ufdff` +
    raw`\ufe70-\ufefe\u{10a00}-\u{11fff}\u{1e900}-\u{1e95f}]`,
  "u",
);
const SYMBOL = /(?=\p{S})[\u2000-\u{10ffff}]/u;

// Characters with the canonical combining class 9, listed with `unicodedata.combining` of Python 3.11 (Unicode 14).
const VIRAMA = new RegExp(
  raw`[\u094d\u09cd\u0a4d\u0acd\u0b4d\u0bcd\u0c4d\u0ccd\u0d3b\u0d3c\u0d4d\u0dca\u0e3a\u0eba\u0f84` +
    raw`\u1039\u103a\u1714\u1715\u1734\u17d2\u1a60\u1b44\u1baa\u1bab\u1bf2\u1bf3\u2d7f\ua806\ua82c\ua8c4` +
    raw`\ua953\ua9c0\uaaf6\uabed\u{10a3f}\u{11046}\u{11070}\u{1107f}\u{110b9}\u{11133}\u{11134}\u{111c0}` +
    raw`\u{11235}\u{112ea}\u{1134d}\u{11442}\u{114c2}\u{115bf}\u{1163f}\u{116b6}\u{1172b}\u{11839}` +
    raw`\u{1193d}\u{1193e}\u{119e0}\u{11a34}\u{11a47}\u{11a99}\u{11c3f}\u{11d44}\u{11d45}\u{11d97}]`,
  "u",
);

/**
 * Return a text in Unicode NFC, without invisible characters, with single spaces and none at either end.
 *
 * Every Unicode space becomes a plain space. A lone surrogate becomes U+FFFD. U+2581, which SentencePiece writes for a
 * space, becomes a low line. Joiners stay where a script or an emoji needs them.
 *
 * @param {string} text
 * @param {number} [version] Version of the rules, from 1 to VERSION. Version 1 keeps all spaces that are not ASCII or
 *   line ends, and all invisible characters other than control characters and U+FEFF.
 * @returns {string}
 */
export function normalise(text, version = VERSION) {
  return version === 1 ? normalise1(text) : normalise2(text);
}

function normalise1(text) {
  const spaced = text.replace(SURROGATES, "\ufffd").replace(SPACES_1, " ");
  const visible = spaced.replace(CONTROL_1, "").replaceAll("\u2581", "_");
  return stripSpaces(visible.normalize("NFC").replace(SPACES_1, " "));
}

function normalise2(text) {
  if (PLAIN.test(text)) return text;
  const visible = text.replace(SURROGATES, "\ufffd").replace(INVISIBLE, "$1");
  let normalised = stripSpaces(visible.replace(SPACES, " ").replaceAll("\u2581", "_").normalize("NFC"));
  for (;;) {
    const shorter = normalised.replace(JOINERS, neededJoiner).normalize("NFC");
    if (shorter === normalised) return normalised;
    normalised = stripSpaces(shorter.replace(SPACES, " ")); // again: NFC changes the neighbours of other joiners
  }
}

/**
 * Return the first joiner of a run if it changes how its neighbours look, else nothing.
 *
 * It does so after a virama, and between letters or marks of a joining script (RFC 5892, appendix A). A letter of a
 * joining script with a zero-width joiner on one side has the form that it has inside a word. Between two symbols, the
 * zero-width joiner makes an emoji.
 */
function neededJoiner(run, offset, text) {
  const sides = [charactersBefore(text, offset), characterAt(text, offset + run.length)];
  const areJoining = sides.map((side) => JOINING.test(side));
  const isNeeded =
    VIRAMA.test(sides[0]) ||
    areJoining.every(Boolean) ||
    (run[0] === "\u200d" && (areJoining.some(Boolean) || sides.every((side) => SYMBOL.test(side))));
  return isNeeded ? run[0] : "";
}
