/** Texts whose words light up together with the words that they were translated from or to. */

// Words end at the white space of Python's str.split, which the server counts them with.
const WORD = /[^\t-\r\x1c- \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/g;

export const UNSURE = 0.5; // confidence below which a word is marked

/** Return the words of a text. */
export function wordsOf(text) {
  return text.match(WORD) ?? [];
}

/** An element with a text whose words are elements. */
export class WordBox {
  constructor(element) {
    this.element = element;
    this.clear();
  }

  clear() {
    this.show("");
  }

  /** Show a text without words, which is quick. */
  show(text) {
    this.words = [];
    this.starts = [];
    this.element.textContent = text;
  }

  /** Show a text with words. */
  showWords(text) {
    this.words = [];
    this.starts = [];
    const nodes = [];
    let end = 0;
    for (const { 0: word, index } of text.matchAll(WORD)) {
      nodes.push(text.slice(end, index));
      const span = document.createElement("span");
      span.className = "word";
      span.textContent = word;
      nodes.push(span);
      this.words.push(span);
      this.starts.push(index);
      end = index + word.length;
    }
    this.element.replaceChildren(...nodes, text.slice(end));
  }

  /** Return the number of the word that an element is, or -1. */
  indexOf(element) {
    return element?.classList?.contains("word") ? this.words.indexOf(element) : -1;
  }

  /** Return the number of the word at an offset in the text, or -1. */
  indexAt(offset) {
    const i = this.starts.findLastIndex((start) => start <= offset);
    return i >= 0 && offset <= this.starts[i] + this.words[i].textContent.length ? i : -1;
  }

  /** Light up the words with these numbers, and no others. Scroll the box to the first of them if it is out of sight. */
  light(indices, { reveal = false } = {}) {
    for (const word of this.element.querySelectorAll(".lit")) word.classList.remove("lit");
    for (const i of indices) this.words[i]?.classList.add("lit");
    if (reveal && indices.length) revealIn(this.element.closest(".scroll"), this.words[indices[0]]);
  }
}

function revealIn(box, word) {
  const [outer, inner] = [box.getBoundingClientRect(), word.getBoundingClientRect()];
  if (inner.top < outer.top) box.scrollTop -= outer.top - inner.top;
  if (inner.bottom > outer.bottom) box.scrollTop += inner.bottom - outer.bottom;
}

/** The words of a source and of its translation, which light up together under the pointer, the caret and the focus. */
export class AlignedTexts {
  /**
   * @param source A text area.
   * @param mirror An element behind it that shows the same text in the same places.
   * @param target The element of the translation.
   */
  constructor(source, mirror, target) {
    this.mirror = new WordBox(mirror);
    this.target = new WordBox(target);
    this.toTarget = this.toSource = null; // lists of word numbers for each word; null where they are not known
    source.addEventListener("mousemove", (event) => this.lightSource(this.sourceWordAt(event.clientX, event.clientY)));
    for (const name of ["keyup", "click"]) {
      source.addEventListener(name, () => this.lightSource(this.mirror.indexAt(source.selectionStart)));
    }
    for (const name of ["mouseleave", "blur"]) source.addEventListener(name, () => this.lightNothing());
    for (const name of ["mouseover", "focusin"]) {
      target.addEventListener(name, (event) => this.lightTarget(this.target.indexOf(event.target)));
    }
    for (const name of ["mouseleave", "focusout"]) target.addEventListener(name, () => this.lightNothing());
    target.addEventListener("keydown", (event) => this.walk(event));
  }

  /** Show a source that is not translated yet. */
  showSource(text) {
    this.toTarget = this.toSource = null;
    this.mirror.show(`${text} `); // the space opens the last line if the text ends in a line break
    this.target.light([]);
  }

  /**
   * Show a translation, and mark the words that the model is not sure of. Return whether there are any.
   * Without details, or if they belong to other words, nothing lights up. A model on the device gives no confidence.
   */
  showTarget(source, text, details) {
    this.toTarget = this.toSource = null;
    this.target.showWords(text);
    for (const [i, word] of this.target.words.entries()) word.tabIndex = i ? -1 : 0;
    const confidences = details?.confidence ?? [];
    if (!details || ![0, this.target.words.length].includes(confidences.length)) return false;
    let isAnyUnsure = false;
    for (const [i, confidence] of confidences.entries()) {
      if (confidence >= UNSURE) continue;
      isAnyUnsure = true;
      this.target.words[i].classList.add("unsure");
      this.target.words[i].title = `The model is ${Math.round(100 * confidence)} % sure of this word.`;
    }
    this.align(source, details.alignment);
    return isAnyUnsure;
  }

  align(source, pairs) {
    this.mirror.showWords(`${source} `);
    const [sources, targets] = [this.mirror.words, this.target.words];
    if (pairs.some(([s, t]) => s >= sources.length || t >= targets.length)) return;
    this.toTarget = sources.map(() => []);
    this.toSource = targets.map(() => []);
    for (const [s, t] of pairs) {
      this.toTarget[s].push(t);
      this.toSource[t].push(s);
    }
    for (const [i, word] of targets.entries()) {
      const from = this.toSource[i].map((s) => sources[s].textContent).join(" ");
      if (from) word.setAttribute("aria-description", `From: ${from}. ${word.title}`);
    }
  }

  lightSource(i) {
    this.mirror.light(i >= 0 && this.toTarget ? [i] : []);
    this.target.light((i >= 0 && this.toTarget?.[i]) || [], { reveal: true });
  }

  lightTarget(i) {
    this.target.light(i >= 0 && this.toSource ? [i] : []);
    this.mirror.light((i >= 0 && this.toSource?.[i]) || [], { reveal: true });
  }

  lightNothing() {
    this.mirror.light([]);
    this.target.light([]);
  }

  /** Return the number of the source word at a place in the window. The text area lies above the words. */
  sourceWordAt(x, y) {
    const element = document.elementsFromPoint(x, y).find((each) => this.mirror.indexOf(each) >= 0);
    return this.mirror.indexOf(element);
  }

  /** Move the focus from word to word. The translation is one stop of the Tab key. */
  walk(event) {
    const i = this.target.indexOf(event.target);
    if (i < 0 || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    const right = getComputedStyle(this.target.element).direction === "rtl" ? -1 : 1;
    const last = this.target.words.length - 1;
    const to = { ArrowRight: i + right, ArrowLeft: i - right, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.target.tabIndex = -1;
    const word = this.target.words[Math.max(0, Math.min(last, to))];
    word.tabIndex = 0;
    word.focus();
  }
}
