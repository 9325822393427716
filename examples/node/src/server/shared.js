/** What guards of one process share, while any of them has it: one stream, one approval queue, one log for each server. */

import { createHash } from 'node:crypto';

/**
 * @template T
 * @typedef {{value: T, key: string, users: number}} Held
 */

/** @template {{end: () => unknown}} T */
export class Table {
  /** @type {Map<string, Held<T>>} */
  #held = new Map();

  /**
   * The one that is there, or a new one. Whoever has it gives it back.
   *
   * @param {string} key
   * @param {() => T} make
   * @returns {Held<T>}
   */
  take(key, make) {
    let held = this.#held.get(key);
    if (!held) {
      held = { value: make(), key, users: 0 };
      this.#held.set(key, held);
    }
    held.users += 1;
    return held;
  }

  /** @param {string} key */
  find(key) {
    return this.#held.get(key)?.value;
  }

  /**
   * With its last user it ends.
   *
   * @param {Held<T>} held
   */
  async giveBack(held) {
    held.users -= 1;
    if (held.users > 0) return;
    this.forget(held);
    await held.value.end();
  }

  /**
   * Who comes from now on gets another one.
   *
   * @param {Held<T>} held
   */
  forget(held) {
    if (this.#held.get(held.key) === held) this.#held.delete(held.key);
  }
}

/**
 * The same for the same texts, and nothing to read them from.
 *
 * @param {...string} texts
 */
export function fingerprint(...texts) {
  const hash = createHash('sha256');
  for (const text of texts) hash.update(`${Buffer.byteLength(text)}:`).update(text);
  return hash.digest('hex');
}
