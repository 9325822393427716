/**
 * Deadlines of open calls: an approval that nobody gave in time is settled so, and a call that was let through and never
 * finished is closed as abandoned.
 */

import { now, watchClock } from '../clock.js';
import { EdictumError, messageOf } from '../errors.js';
import { log } from '../log.js';

/** Calls that are looked at together. */
const BATCH = 64;

/** Milliseconds until what failed is tried again. */
const RETRY = 5_000;

/** Milliseconds between two looks into a store that other processes share: one of them may have died. */
const SHARED_LOOK = 300_000;

/** Milliseconds between two looks for expired sessions. */
const SWEEP = 600_000;

/** A system clock that is put right is noticed this late, in milliseconds. */
const LONGEST_SLEEP = 60_000;

/**
 * @typedef {object} Party what deadlines are about
 * @property {string} name
 * @property {import('../store.js').Store} store
 * @property {(callId: string) => Promise<void>} closeDue
 * @property {(moment: number) => Promise<void>} closeCopies
 */

export class Due {
  #party;
  /** The earliest deadline that a timer is set for. */
  #armed = Infinity;
  #swept = now();
  /** @type {NodeJS.Timeout | undefined} */
  #timer;
  /** @type {Promise<void> | undefined} */
  #atWork;
  #again = false;
  #over = false;
  #unwatch;

  /** @param {Party} party */
  constructor(party) {
    this.#party = party;
    this.#unwatch = watchClock(() => this.#set());
    this.#set();
  }

  /**
   * Sets a timer, unless an earlier one is set.
   *
   * @param {number} deadline
   */
  arm(deadline) {
    if (deadline >= this.#armed) return;
    this.#armed = deadline;
    this.#set();
  }

  /** Sets the timer for what is in the store already. */
  async armFromStore() {
    const { name, store } = this.#party;
    try {
      const next = await store.nextDeadline(name);
      if (next !== null) this.arm(Math.max(next, now()));
    } catch (error) {
      log('warning', `guard ${name}: deadlines cannot be read: ${messageOf(error)}`);
      this.arm(now() + RETRY);
    }
    if (store.shared) this.arm(now() + SHARED_LOOK);
  }

  #set() {
    if (this.#over) return;
    clearTimeout(this.#timer);
    const next = Math.min(this.#armed, this.#swept + SWEEP);
    const wait = Math.min(Math.max(next - now(), 0), LONGEST_SLEEP);
    this.#timer = setTimeout(() => void this.#ring(), wait);
    this.#timer.unref();
  }

  async #ring() {
    const moment = now();
    if (moment >= this.#armed) await this.run();
    // Also when the clock was set back.
    if (moment >= this.#swept + SWEEP || moment + SWEEP < this.#swept) {
      this.#swept = moment;
      await this.#expire(moment);
    }
    this.#set();
  }

  /** @param {number} moment */
  async #expire(moment) {
    try {
      await this.#party.store.expire(moment);
    } catch (error) {
      log('warning', `guard ${this.#party.name}: expired sessions cannot be forgotten: ${messageOf(error)}`);
    }
  }

  /** Does what is due now. */
  async run() {
    if (this.#atWork) {
      this.#again = true;
      return this.#atWork;
    }
    this.#atWork = this.#work().finally(() => (this.#atWork = undefined));
    return this.#atWork;
  }

  async #work() {
    do {
      this.#again = false;
      this.#armed = Infinity;
      const moment = now();
      await this.#party.closeCopies(moment);
      if (!(await this.#closeAll(moment))) return this.arm(now() + RETRY);
    } while (this.#again);
    await this.armFromStore();
  }

  /**
   * False: something failed, and is to be tried again.
   *
   * @param {number} moment
   */
  async #closeAll(moment) {
    const { name, store, closeDue } = this.#party;
    for (;;) {
      let due;
      try {
        due = await store.due(name, moment, BATCH);
      } catch (error) {
        log('warning', `guard ${name}: deadlines cannot be read: ${messageOf(error)}`);
        return false;
      }
      if (due.length === 0 || this.#over) return true;
      for (const callId of due) {
        try {
          await closeDue(callId);
        } catch (error) {
          // Somebody else was faster.
          if (error instanceof EdictumError && (error.code === 'not-found' || error.code === 'conflict')) continue;
          log('warning', `guard ${name}: a call that is due cannot be closed: ${messageOf(error)}`);
          return false;
        }
      }
    }
  }

  /** Nothing is done any more. */
  end() {
    this.#over = true;
    this.#unwatch();
    clearTimeout(this.#timer);
  }
}
