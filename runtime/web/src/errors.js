/** Errors with one sentence for the user. */

/** A mistake that the user can correct. */
export class UserError extends Error {
  get name() {
    return this.constructor.name;
  }
}

/** A file that is not a usable Dragoman model. */
export class ModelFileError extends UserError {}


/** A file that gives other results here. */
export class SelfTestError extends ModelFileError {
  constructor(difference) {
    super(`self-test failed: do not use results of this installation of onnxruntime; ${difference}`);
  }
}

/**
 * Return an argument that must be a whole number from `low` to `high`. Throws UserError for another one.
 * `meaning` is the meaning of the largest number, for the message.
 */
export function wholeNumber(name, value, low, high = Infinity, meaning = "") {
  const span = (high < Infinity ? `from ${grouped(low)} to ${grouped(high)}` : `at least ${grouped(low)}`) +
    (meaning && `, ${meaning}`);
  if (!Number.isInteger(value)) throw new UserError(`${name} is ${shown(value)}; it must be a whole number, ${span}`);
  if (value < low || value > high) throw new UserError(`${name} is ${grouped(value)}; it must be ${span}`);
  return value;
}

/** Return an argument that must be a number from `low` to `high`. Throws UserError for another one. */
export function numberBetween(name, value, low, high) {
  if (typeof value !== "number") {
    throw new UserError(`${name} is ${shown(value)}; it must be a number from ${low} to ${high}`);
  }
  if (!(low <= value && value <= high)) throw new UserError(`${name} is ${value}; it must be from ${low} to ${high}`);
  return value;
}

/** Return one text, or several from any iterable, as a list. Throws UserError for anything else. */
export function listOfTexts(text) {
  if (typeof text === "string") return [text];
  if (ArrayBuffer.isView(text) || typeof text?.[Symbol.iterator] !== "function") {
    throw new UserError(`the text is ${shown(text)}; give a string or an array of strings`);
  }
  const texts = [...text];
  texts.forEach((item, i) => {
    if (typeof item !== "string") {
      throw new UserError(`text ${i + 1} of ${texts.length} is ${shown(item)}; it must be a string`);
    }
  });
  return texts;
}

/** Return a number with a comma after every three digits. */
export function grouped(number) {
  return number.toLocaleString("en-US", { maximumFractionDigits: 20 });
}

/** Return a value as it is written in JavaScript, or its type if that is long. */
export function shown(value) {
  if (typeof value === "string" && value.length <= 40) return JSON.stringify(value);
  const isPlain = value === null || ["number", "boolean", "undefined", "bigint"].includes(typeof value);
  if (isPlain) return String(value);
  return `of type ${value?.constructor?.name ?? typeof value}`;
}
