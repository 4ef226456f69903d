/** Errors for people. */

const LONGEST_WAIT = 600;

/** An error for people. `retryAfter` is the number of seconds after which it makes sense to try again, or 0. */
export class Failure extends Error {
  constructor(message, retryAfter = 0) {
    super(message);
    this.retryAfter = Math.min(retryAfter, LONGEST_WAIT);
  }
}

/** Return an error as a sentence. Messages begin with a small letter and leave out the full stop. */
export function sentence(error) {
  const text = (error.message || "Something went wrong").replace(/^[a-z](?=[a-z]* )/, (letter) => letter.toUpperCase());
  return text + (/[.!?]$/.test(text) ? "" : ".") + (error.retryAfter ? " The page tries again by itself." : "");
}
