/**
 * Open calls of a guard in its store, and copies of them: for when the store is lost after the tool has run. Trouble of the store
 * has the code `unavailable`.
 */

import { STORE_DEADLINE } from '../answers.js';
import { now } from '../clock.js';
import { EdictumError, messageOf } from '../errors.js';
import { log } from '../log.js';
import { within } from '../wait.js';

/** Milliseconds for which a step has an open call for itself, should its process die. */
const CLAIM = 120_000;

/** @typedef {import('../store.js').OpenCall} OpenCall */

export class OpenCalls {
  #guard;
  #store;
  /** `stranded`: it never was in the store. @type {Map<string, {open: OpenCall, stranded: boolean}>} */
  #copies = new Map();

  /**
   * @param {string} guard
   * @param {import('../store.js').Store} store
   */
  constructor(guard, store) {
    this.#guard = guard;
    this.#store = store;
  }

  /**
   * @param {string} callId
   * @returns {Promise<OpenCall | null>}
   */
  find(callId) {
    return this.#within(() => this.#store.find(this.#guard, callId));
  }

  /**
   * Whether there is one, as far as that can be known.
   *
   * @param {string} callId
   */
  async has(callId) {
    try {
      return (await this.find(callId)) !== null;
    } catch {
      return false;
    }
  }

  /** @param {number} limit */
  list(limit) {
    return this.#within(() => this.#store.list(this.#guard, limit));
  }

  /**
   * Keeps a call that has begun. False: there is one of this id already.
   *
   * @param {OpenCall} open
   */
  async begin(open) {
    const written = await this.#within(() => this.#store.open(open));
    if (written) this.#copy(open);
    return written;
  }

  /**
   * Writes a claimed call back, changed.
   *
   * @param {OpenCall} open
   * @param {number} claim
   */
  async update(open, claim) {
    if (!(await this.#within(() => this.#store.update(open, claim)))) {
      throw new EdictumError('unavailable', 'the claim has ended');
    }
    this.#copy(open);
  }

  /**
   * Takes an open call for a step, when it is in this state.
   *
   * @param {string} callId
   * @param {OpenCall['state']} state
   */
  async claim(callId, state) {
    const moment = now();
    const claimed = await this.#within(() => this.#store.claim(this.#guard, callId, moment, moment + CLAIM));
    if (claimed === 'busy') throw new EdictumError('conflict', `call \`${callId}\` is being worked on`);
    if (claimed === 'missing') {
      this.#copies.delete(callId);
      throw unknown(callId);
    }
    const { yes: open, claim } = claimed;
    if (open.state === state) return { open, claim };
    await this.#within(() => this.#store.release(this.#guard, callId, claim));
    throw state === 'asking' ? notAsking(callId) : notAllowed(callId);
  }

  /**
   * Removes a claimed call that is over.
   *
   * @param {string} callId
   * @param {number} claim
   */
  async forget(callId, claim) {
    this.#copies.delete(callId);
    try {
      await this.#within(() => this.#store.close(this.#guard, callId, claim));
    } catch (error) {
      log('warning', `guard ${this.#guard}: a call that is over stays in the store: ${messageOf(error)}`);
    }
  }

  /**
   * A store in this memory cannot be lost alone.
   *
   * @param {OpenCall} open
   */
  #copy(open) {
    if (this.#store.remote && open.state === 'allowed') this.#copies.set(open.callId, { open, stranded: false });
  }

  /**
   * Observation lets this call through although the store has failed: the copy is all there is.
   *
   * @param {OpenCall} open
   */
  strand(open) {
    this.#copies.set(open.callId, { open, stranded: true });
  }

  /**
   * The session of a call that began here.
   *
   * @param {string} callId
   */
  session(callId) {
    const copy = this.#copies.get(callId);
    return copy && !copy.stranded ? copy.open.session : undefined;
  }

  /**
   * A copy, which is then gone.
   *
   * @param {string} callId
   */
  takeCopy(callId) {
    const copy = this.#copies.get(callId);
    this.#copies.delete(callId);
    return copy;
  }

  /**
   * Copies are not kept for ever. Gives those that never were in the store.
   *
   * @param {number} moment
   */
  takeStranded(moment) {
    const over = [...this.#copies.values()].filter(({ open }) => open.deadline <= moment);
    for (const { open } of over) this.#copies.delete(open.callId);
    return over.filter(({ stranded }) => stranded).map(({ open }) => open);
  }

  /**
   * One thing in the store, with an end.
   *
   * @template T
   * @param {() => T | Promise<T>} work
   * @returns {Promise<T>}
   */
  async #within(work) {
    try {
      const result = work();
      if (!(result instanceof Promise)) return result;
      const answer = await within(STORE_DEADLINE, result.then((value) => ({ value })));
      if (answer) return answer.value;
    } catch (error) {
      if (error instanceof EdictumError) throw error;
      throw new EdictumError('unavailable', `the store failed: ${messageOf(error)}`);
    }
    throw new EdictumError('unavailable', 'the store failed: no answer in time');
  }
}

/** @param {string} callId */
export function unknown(callId) {
  return new EdictumError('not-found', `there is no open call \`${callId}\``);
}

/** @param {string} callId */
export function taken(callId) {
  return new EdictumError('conflict', `there is an open call \`${callId}\` already`);
}

/** @param {string} callId */
export function notAsking(callId) {
  return new EdictumError('conflict', `call \`${callId}\` does not wait for an approval`);
}

/** @param {string} callId */
function notAllowed(callId) {
  return new EdictumError('conflict', `call \`${callId}\` has not been allowed`);
}

/**
 * Somebody else was faster, or there never was one.
 *
 * @param {unknown} error
 */
export function isGone(error) {
  return error instanceof EdictumError && (error.code === 'not-found' || error.code === 'conflict');
}
