/** Who waits for a person's answer, by call. */

import { EdictumError } from '../errors.js';

/** @typedef {import('../decision.js').Decision} Decision */

export class Waiters {
  /** @type {Map<string, Set<Waiter>>} */
  #waiting = new Map();

  /**
   * Waits from now on.
   *
   * @param {string} callId
   */
  wait(callId) {
    const waiter = new Waiter();
    const waiting = this.#waiting.get(callId) ?? new Set();
    this.#waiting.set(callId, waiting.add(waiter));
    return waiter;
  }

  /**
   * @param {string} callId
   * @param {Waiter} waiter
   */
  leave(callId, waiter) {
    const waiting = this.#waiting.get(callId);
    waiting?.delete(waiter);
    if (waiting?.size === 0) this.#waiting.delete(callId);
  }

  /**
   * The call is settled.
   *
   * @param {Decision} decision
   */
  tell(decision) {
    const waiting = this.#waiting.get(decision.callId);
    this.#waiting.delete(decision.callId);
    for (const waiter of waiting ?? []) waiter.tell(decision);
  }

  /** The guard is closed. */
  end() {
    for (const waiting of this.#waiting.values()) {
      for (const waiter of waiting) waiter.refuse(new EdictumError('closed', 'the guard is closed'));
    }
    this.#waiting.clear();
  }
}

/** Somebody who waits for the end of an `ask`. */
class Waiter {
  told = false;
  /** @type {(decision: Decision) => void} */
  #resolve = () => {};
  /** @type {(reason: Error) => void} */
  #reject = () => {};
  /** @type {Promise<Decision>} */
  decision = new Promise((resolve, reject) => {
    this.#resolve = resolve;
    this.#reject = reject;
  });

  constructor() {
    // It may be refused before anybody looks.
    this.decision.catch(() => {});
  }

  /** @param {Decision} decision */
  tell(decision) {
    this.told = true;
    this.#resolve(decision);
  }

  /** @param {Error} reason */
  refuse(reason) {
    this.#reject(reason);
  }
}
