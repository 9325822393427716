/** The time that guards see: the system's, or counted from a moment that a test has set. */

/** The latest moment a clock can be set to: the year 9999 is over by then. */
const LATEST = 253_402_300_800_000;

let offset = 0;

/** @type {Set<() => void>} */
const listeners = new Set();

/** Milliseconds since 1970-01-01T00:00:00Z. */
export function now() {
  return Date.now() + offset;
}

/**
 * From now on it is `moment`, and time goes on from there.
 *
 * @param {number} moment
 */
export function setNow(moment) {
  offset = Math.min(moment, LATEST) - Date.now();
  for (const listener of [...listeners]) listener();
}

/**
 * Told when the clock has been set.
 *
 * @param {() => void} listener
 */
export function watchClock(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
