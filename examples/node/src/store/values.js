/** What all stores say alike: missing keys, counters, bounds. */

/** @typedef {import('../store.js').Entry} Entry */

/** The version of a key that is not there. Versions of values are never used twice. */
export const MISSING_VERSION = '0';

/** Most keys that one `scan` gives. */
export const MAX_SCAN = 10_000;

/** @returns {Entry} */
export function missing() {
  return { value: null, version: MISSING_VERSION };
}

const LARGEST = 2n ** 63n - 1n;

/**
 * A counter after `amount` was added: decimal text; null: not a counter, or at its end.
 *
 * @param {string | null | undefined} value
 * @param {number} amount
 * @returns {{sum: string} | {failed: string}}
 */
export function incremented(value, amount) {
  if (value === null || value === undefined) return { sum: String(amount) };
  if (!/^[+-]?[0-9]+$/.test(value)) return { failed: 'a counter is not an integer' };
  const number = BigInt(value.startsWith('+') ? value.slice(1) : value);
  if (number > LARGEST || number < -LARGEST - 1n) return { failed: 'a counter is not an integer' };
  const sum = number + BigInt(amount);
  return sum > LARGEST ? { failed: 'a counter is at its end' } : { sum: sum.toString() };
}
