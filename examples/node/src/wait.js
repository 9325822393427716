/** Waiting with an end. */

/**
 * The value of a promise; undefined: it took longer.
 *
 * @template T
 * @param {number} milliseconds
 * @param {Promise<T>} promise
 * @returns {Promise<T | undefined>}
 */
export async function within(milliseconds, promise) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const late = new Promise((/** @type {(value: undefined) => void} */ resolve) => {
    timer = setTimeout(resolve, milliseconds, undefined);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Longer than any wait: it only has to be there. */
const LONG = 0x7fff_ffff;

/**
 * The same promise; while somebody waits for it the process does not end.
 *
 * @template T
 * @param {Promise<T>} promise
 * @returns {Promise<T>}
 */
export async function alive(promise) {
  const timer = setInterval(() => {}, LONG);
  try {
    return await promise;
  } finally {
    clearInterval(timer);
  }
}
