/** Waiting for a moment of the guards' clock, or for something to happen before it. */

import { now, watchClock } from '../clock.js';

/** A system clock that is put right is noticed this late, in milliseconds. */
const LONGEST = 60_000;

export class Alarm {
  /** @type {(() => void) | undefined} */
  #wake;
  #rung = false;
  #holds;

  /** @param {boolean} holds whether the process goes on while it waits */
  constructor(holds = false) {
    this.#holds = holds;
  }

  /** Something has happened: who waits goes on. */
  ring() {
    this.#rung = true;
    this.#wake?.();
  }

  /**
   * Waits until then (undefined: for ever), or until it rings; what rang before counts.
   *
   * @param {number} [moment]
   */
  async wait(moment) {
    while (!this.#rung && (moment === undefined || now() < moment)) {
      await new Promise((/** @type {(value: void) => void} */ resolve) => {
        const length = moment === undefined ? LONGEST : Math.min(Math.max(moment - now(), 0), LONGEST);
        const timer = setTimeout(resolve, length);
        if (!this.#holds) timer.unref();
        const unwatch = watchClock(resolve);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
        this.#unwatch = unwatch;
      });
      this.#unwatch();
    }
    this.#wake = undefined;
    this.#rung = false;
  }

  #unwatch = () => {};
}

/**
 * A timestamp of the interface.
 *
 * @param {bigint | undefined} moment
 */
export function momentOf(moment) {
  return moment === undefined ? undefined : Number(moment);
}

/** Now, as the interface takes it. */
export function nowBig() {
  return BigInt(now());
}
