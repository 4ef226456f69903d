/** Restoration of protected spans: repair a translation that has lost or doubled some, by attention. */

import { firstIndex } from "./bisection.js";
import { UNSPACED_SCRIPTS, placesOfCopies, subwordSpans, visibleLength, wordsOf } from "./projection.js";
import { longestFirst, whole } from "./protection.js";
import { WORD, characterAt, charactersBefore, isAlnum, matchSpans, stripSpaces } from "./text.js";

// Marks before and after a span that need no space. A hyphen makes a compound: "%PRODUCTNAME-Fenster".
const OPENING = [..."([{\"'„“‚‘«»¿¡-"];
const CLOSING = [...")]}\"'“”‘’«»-.,:;!?…"];
const STOPS = [...".,;:!?…"];
const LONGEST_PIECE = 16; // characters of a wrong copy that are compared
const QUOTES = [..."\"'„“”‚‘’«»"];
const TWO_WORD_CHARACTERS = new RegExp(`^[${WORD}]{2}$`, "u");

/**
 * Return a translation that has every protected span as often as the source, and the attention of its words.
 *
 * A span that the translation lacks replaces the words that were written while the model attended to it. A surplus copy
 * of a span is removed where the model attended to the span least.
 *
 * @typedef {{sourceSubwords: string[], targetSubwords: string[], weights: Float32Array[]}} AttentionMap
 * @param {string} source The text of a part.
 * @param {[number, number][]} spans Its protected spans.
 * @param {string} target Its translation.
 * @param {AttentionMap} attention The attention of the translation.
 * @returns {[string, AttentionMap]}
 */
export function restored(source, spans, target, attention) {
  const places = placesOfCopies(source, spans, target, attention);
  const strings = new Set(spans.map(([start, end]) => source.slice(start, end)));
  const copies = longestFirst(strings).flatMap((string) => matchSpans(new RegExp(whole(string), "gu"), target));
  let edits = inSourceOrder(places.map((place, i) => outside(editOf(...place, ...spans[i]), copies)));
  for (const [start, end] of copies) {
    if (edits.every((edit) => end <= edit.start || edit.end <= start)) edits.push(editOf(start, end));
  }
  edits = fitted(
    source,
    target,
    edits.sort((a, b) => a.start - b.start || a.end - b.end),
  );

  const sourcePlaces = subwordSpans(attention.sourceSubwords);
  const ends = subwordSpans(attention.targetSubwords).map(([, end]) => end);
  const words = []; // as subwords, with ▁ for a space
  const rows = [];
  const add = (word, row, isAfterSpace) => {
    words.push((isAfterSpace || !words.length ? "▁" : "") + word);
    rows.push(Float32Array.from(row));
  };
  const lastCharacter = () => (words.length ? charactersBefore(words.at(-1), words.at(-1).length) : "");

  let position = 0;
  let inserted = null; // the edit that has just put a span there
  const isApart = (next) => inserted && needsSpace(next, characterAt(source, inserted.sourceEnd), CLOSING);
  for (const edit of [...edits, editOf(target.length, target.length)]) {
    for (const [first, last] of wordsOf(target.slice(position, edit.start))) {
      const place = position + first;
      const next = characterAt(target, place);
      const isWithinWord = first === 0 && touch(lastCharacter(), next);
      const isAfterSpace = target[place - 1] === " " || isWithinWord || isApart(next);
      inserted = null;
      const before = visibleLength(target.slice(0, place));
      // A last word without visible characters belongs to the last subword.
      const subword = Math.min(
        firstIndex(ends, (end) => end > before),
        ends.length - 1,
      );
      add(target.slice(place, position + last), attention.weights[subword], isAfterSpace);
    }
    const text = source.slice(edit.sourceStart, edit.sourceEnd);
    if (text) {
      const [row, isAfterSpaceInSource] = attended(source, text, sourcePlaces);
      const [before, next] = [lastCharacter(), characterAt(text, 0)];
      const isNew = text !== target.slice(edit.start, edit.end);
      const isAfterSpace =
        target[edit.start - 1] === " " ||
        touch(before, next) ||
        (edit.start === edit.end && isAfterSpaceInSource) ||
        isApart(next) ||
        (isNew && needsSpace(before, charactersBefore(source, edit.sourceStart), OPENING));
      add(text, row, isAfterSpace);
      inserted = isNew ? edit : null;
    }
    position = Math.max(position, edit.end);
  }
  if (attention.targetSubwords.at(-1) === "</s>") {
    words.push("</s>");
    rows.push(Float32Array.from(attention.weights.at(-1)));
  }
  const restoredText = words
    .filter((word) => word !== "</s>")
    .join("")
    .replaceAll("▁", " ");
  const restoredMap = { sourceSubwords: attention.sourceSubwords, targetSubwords: words, weights: rows };
  return [stripSpaces(restoredText), restoredMap];
}

/** Return a replacement of a stretch of a translation by a span of the source. An empty span removes the stretch. */
function editOf(start, end, sourceStart = 0, sourceEnd = 0) {
  return { start, end, sourceStart, sourceEnd };
}

/**
 * Return an edit that changes no part of a copy of a span, such as the host in root@example.org.
 *
 * It puts its span after the copy.
 */
function outside(edit, copies) {
  for (const [start, end] of copies) {
    const isWithin = start <= edit.start && edit.end <= end && (edit.start !== start || edit.end !== end);
    if (isWithin && start < edit.end && edit.start < end) return { ...edit, start: end, end };
  }
  return edit;
}

/** Return edits in which a span without words of its own is on the same side of its neighbour as in the source. */
function inSourceOrder(edits) {
  const filled = edits.filter((edit) => edit.start < edit.end);
  const byStart = new Map(filled.map((edit) => [edit.start, edit]));
  const byEnd = new Map(filled.map((edit) => [edit.end, edit]));
  return edits.map((edit) => {
    if (edit.start < edit.end) return edit;
    let place = edit.start;
    if (byStart.get(place)?.sourceStart < edit.sourceStart) place = byStart.get(place).end;
    else if (edit.sourceStart < byEnd.get(place)?.sourceStart) place = byEnd.get(place).start;
    return { ...edit, start: place, end: place };
  });
}

/**
 * Return edits, which are in order, with corrected ends. Marks share the attention of their neighbours.
 *
 * A mark at an end of the stretch stays if it stands beside the span in the source, or is a quotation mark with its
 * partner at the other end. A piece of a wrong copy of the span beside the stretch goes, such as the first mark of
 * "$$name" and the second ending of "a.txt.txt". A span for which the model wrote nothing comes before a full stop.
 */
function fitted(source, target, edits) {
  let low = 0;
  return edits.map((edit, i) => {
    let { start, end } = edit;
    const text = source.slice(edit.sourceStart, edit.sourceEnd);
    const high = edits[i + 1]?.start ?? target.length;
    const [before, after] = [source.slice(0, edit.sourceStart), source.slice(edit.sourceEnd)];
    if (text && start === end) {
      while (low < start && STOPS.includes(target[start - 1]) && !before.trimEnd().endsWith(target[start - 1])) start--;
      end = start;
    } else if (text && text !== target.slice(start, end)) {
      while (start < end && stays(target[start], text[0], before.at(-1), target[end], OPENING)) start++;
      while (start < end && stays(target[end - 1], text.at(-1), after[0], target[start - 1], CLOSING)) end--;
      if (start < end) {
        const { heads, tails } = pieces(text);
        const [left, right] = [target.slice(low, start), target.slice(end, high)];
        start -= longest(heads.filter((head) => left.endsWith(head) && !before.endsWith(head)));
        end += longest(tails.filter((tail) => right.startsWith(tail) && !after.startsWith(tail)));
      }
    }
    low = end;
    return { ...edit, start, end };
  });
}

/** Return the short pieces of a span that end with a sign at its start, and begin with one at its end. */
function pieces(text) {
  const characters = [...text];
  const [heads, tails] = [[], []];
  for (let n = 1; n < LONGEST_PIECE; n++) {
    if (n <= characters.length && isSign(characters[n - 1])) heads.push(characters.slice(0, n).join(""));
    if (n < characters.length && isSign(characters.at(-n))) tails.push(characters.slice(-n).join(""));
  }
  return { heads, tails };
}

/** Return the length of the longest of some strings, or 0. */
function longest(strings) {
  return Math.max(0, ...strings.map((string) => string.length));
}

/**
 * Return whether a mark at an end of a stretch is no part of a span's wrong copy.
 *
 * ofSpan: The character at this end of the span. besideSpan: The character beside it in the source. opposite: The
 * character beside the other end of the stretch. Half a surrogate pair will do, as it is no mark.
 */
function stays(mark, ofSpan, besideSpan, opposite, marks) {
  if (!marks.includes(mark) || mark === ofSpan) return false;
  return mark === besideSpan || (QUOTES.includes(mark) && (QUOTES.includes(besideSpan) || QUOTES.includes(opposite)));
}

function isSign(character) {
  return !isAlnum(character) && character !== "_" && character !== " ";
}

/** Return whether two characters would make one word. */
function touch(before, after) {
  return TWO_WORD_CHARACTERS.test(before + after);
}

/**
 * Return whether a space belongs between a span and the character beside it in the translation.
 *
 * sourceNeighbour: The character beside it in the source. marks: Those that may touch a span.
 */
function needsSpace(neighbour, sourceNeighbour, marks) {
  if (!neighbour || neighbour === sourceNeighbour || marks.includes(neighbour)) return false;
  return !UNSPACED_SCRIPTS.test(neighbour) && !touch(neighbour, sourceNeighbour); // a word touches it there, too
}

/** Return the attention of a copied string, equal for its source subwords, and whether a space precedes it there. */
function attended(source, string, places) {
  const start = source.indexOf(string);
  const first = visibleLength(source.slice(0, start));
  const last = first + visibleLength(string);
  const row = places.map((place) => Number(place[0] < last && first < place[1]));
  const total = Math.max(
    row.reduce((a, b) => a + b, 0),
    1,
  );
  return [row.map((weight) => weight / total), source[start - 1] === " "];
}
