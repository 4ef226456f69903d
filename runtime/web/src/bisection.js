/** Binary search. */

/**
 * Return the index of the first value that passes a test, or the number of values.
 * @template T
 * @param {T[]} values In an order in which all values that pass come last.
 * @param {(value: T) => boolean} test
 * @param {number} [low] The first index to consider.
 * @returns {number}
 */
export function firstIndex(values, test, low = 0) {
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (test(values[middle])) high = middle;
    else low = middle + 1;
  }
  return low;
}
