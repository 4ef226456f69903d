/** The choice of a source and a target language. */

const RIGHT_TO_LEFT = new Set("ar ckb dv fa he ps sd ug ur yi".split(" "));

export class LanguageChoice {
  /**
   * @param rows The languages of the server: `code`, `name` and `targets` of each.
   * @param sourceSelect The select element of the source.
   * @param targetSelect The select element of the target.
   * @param detects True to offer “Detect language”.
   */
  constructor(rows, sourceSelect, targetSelect, { detects }) {
    this.names = new Map(rows.map((row) => [row.code, row.name]));
    // A server gives a text back whose source and target are the same. That is no reason to offer a language twice.
    this.targets = new Map(rows.map((row) => [row.code, row.targets.filter((code) => code !== row.code)]));
    this.sourceSelect = sourceSelect;
    this.targetSelect = targetSelect;
    const sources = rows.filter((row) => this.targets.get(row.code).length);
    const options = sources.map((row) => new Option(row.name, row.code));
    this.first = sources[0]?.code ?? "auto";
    sourceSelect.replaceChildren(...(detects ? [new Option("Detect language", "auto")] : []), ...options);
  }

  get source() {
    return this.sourceSelect.value;
  }

  get target() {
    return this.targetSelect.value;
  }

  name(code) {
    return this.names.get(code) ?? code;
  }

  /** Choose languages, as far as the server has them, and offer the targets that fit the source. */
  choose(source, target) {
    const { options } = this.sourceSelect;
    const isKnown = [...options].some((option) => option.value === source);
    this.sourceSelect.value = isKnown ? source : this.first;
    const codes = this.targetsOf(this.source);
    this.targetSelect.replaceChildren(...codes.map((code) => new Option(this.name(code), code)));
    this.targetSelect.value = codes.includes(target) ? target : (codes[0] ?? "");
  }

  /** Return whether a model translates in the other direction. `source` is a language, not `auto`. */
  canSwap(source) {
    return this.targets.get(this.target)?.includes(source) ?? false;
  }

  targetsOf(source) {
    if (source !== "auto") return this.targets.get(source) ?? [];
    const reachable = new Set([...this.targets.values()].flat());
    return [...this.names.keys()].filter((code) => reachable.has(code));
  }
}

/** Set the language and the direction of an element. Without a code, its text decides the direction. */
export function setLanguage(element, code) {
  if (code) element.lang = code;
  else element.removeAttribute("lang");
  const primary = code?.split("-")[0];
  element.dir = !code ? "auto" : RIGHT_TO_LEFT.has(primary) || /-(Arab|Hebr)\b/.test(code) ? "rtl" : "ltr";
}
