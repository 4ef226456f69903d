/** Errors with one sentence for the user, and checks of arguments. */

/** A mistake that the user can correct. */
export class UserError extends Error {
  static {
    this.prototype.name = "UserError"; // as a text, since minifiers change the names of classes
  }
}

/** A file that is not a usable Dragoman model. */
export class ModelFileError extends UserError {
  static {
    this.prototype.name = "ModelFileError";
  }
}

/** A file that gives other results here. */
export class SelfTestError extends ModelFileError {
  static {
    this.prototype.name = "SelfTestError";
  }
}

/** Return the error of a self-test, with the difference that it found. */
export function selfTestError(difference) {
  return new SelfTestError(`self-test failed: do not use results of this installation of onnxruntime; ${difference}`);
}

/**
 * Return an argument that must be a whole number from `low` to `high`. Throws UserError for another one.
 * `meaning` is the meaning of the largest number, for the message.
 */
export function wholeNumber(name, value, low, high = Infinity, meaning = "") {
  const span =
    (high < Infinity ? `from ${grouped(low)} to ${grouped(high)}` : `at least ${grouped(low)}`) +
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

/** Return one string, or several from any iterable, as a list. Throws UserError for anything else. */
export function listOfTexts(text, what = "text") {
  if (typeof text === "string") return [text];
  if (ArrayBuffer.isView(text) || text instanceof String || typeof text?.[Symbol.iterator] !== "function") {
    throw new UserError(`the ${what} is ${shown(text)}; give a string or an array of strings`);
  }
  const texts = [...text];
  texts.forEach((item, i) => {
    if (typeof item !== "string") {
      throw new UserError(`${what} ${i + 1} of ${texts.length} is ${shown(item)}; it must be a string`);
    }
  });
  return texts;
}

/** Throw UserError unless options are an object, have only these names (if some are given), and `signal` is one. */
export function checkOptions(options, names) {
  if (options === null || typeof options !== "object" || Array.isArray(options)) {
    throw new UserError(`the options are ${shown(options)}; give an object`);
  }
  const unknown = Object.keys(options).find((name) => names && !names.includes(name));
  if (unknown !== undefined) throw new UserError(`there is no option ${shown(unknown)}; there are ${names.join(", ")}`);
  const { signal } = options;
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new UserError(`signal is ${shown(signal)}; it must be an AbortSignal`);
  }
}

/** Return a number with a comma after every three digits. */
export function grouped(number) {
  return Math.abs(number) < 1e15 ? number.toLocaleString("en-US", { maximumFractionDigits: 20 }) : String(number);
}

/** Return a value as it is written in JavaScript, or its type if that is long. */
export function shown(value) {
  if (typeof value === "string" && value.length <= 40) return JSON.stringify(value);
  const isPlain = value === null || ["number", "boolean", "undefined", "bigint"].includes(typeof value);
  if (isPlain) return String(value);
  const name = value?.constructor?.name;
  return `of type ${typeof name === "string" && name ? name : typeof value}`;
}
