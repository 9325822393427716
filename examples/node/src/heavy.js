/**
 * Calls with much text, decided in another thread: they hold up nobody, and a deadline ends them. The thread has an instance of its
 * own, and compiles the policies that it needs.
 */

import { Abnormal, messageOf } from './errors.js';
import { Remote } from './remote.js';

/** Calls with more characters than this are for the other thread. */
export const INLINE = 128 * 1024;

/** Milliseconds for one step, the policy's compilation included. */
const STEP = 60_000;

/** @typedef {import('./policy.js').Policy} Policy */

/** @param {unknown[]} values */
export function weight(values) {
  let characters = 0;
  for (const value of values) {
    if (typeof value === 'string') characters += value.length;
  }
  return characters;
}

export class Heavy {
  #remote;
  /** Ids of policies that the thread may hold. @type {Set<string>} */
  #known = new Set();

  /** @param {number} maxMemory */
  constructor(maxMemory) {
    this.#remote = new Remote(new URL('./heavy-worker.js', import.meta.url), { maxMemory });
  }

  /**
   * @param {Policy} policy
   * @param {string} method
   * @param {unknown[]} values
   * @returns {Promise<any>}
   */
  async decide({ id, source, links }, method, values) {
    this.#known.add(id);
    try {
      return await this.#remote.ask('decide', [{ id, source, links }, method, values], STEP);
    } catch (error) {
      throw asAbnormal(error);
    }
  }

  /** @param {Policy} policy */
  drop({ id }) {
    if (!this.#known.delete(id)) return;
    this.#remote.ask('drop', [id]).catch(() => {});
  }
}

/** @param {unknown} error what has come from another thread */
function asAbnormal(error) {
  const { fault, reason } = /** @type {{fault?: import('./errors.js').Abnormal['fault'], reason?: string}} */ (error);
  return new Abnormal(fault ?? 'host', reason ?? messageOf(error));
}
