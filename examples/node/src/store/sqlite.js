/**
 * A store in one SQLite file, which several processes may share, hosts in other languages too. The file is used in a thread
 * of its own: neither a disk nor another process that writes holds up the event loop.
 */

import { EdictumError, messageOf } from '../errors.js';
import { Remote } from '../remote.js';

/** Longer than the file waits for other processes, in milliseconds. */
const DEADLINE = 30_000;

/** @typedef {import('../store.js').OpenCall} OpenCall */

/** @implements {Required<import('../store.js').Store>} */
export class SqliteStore {
  shared = true;
  remote = true;
  #remote;

  /** @param {Remote} remote */
  constructor(remote) {
    this.#remote = remote;
  }

  /**
   * Opens the store in a folder (its file is `edictum.sqlite`), and makes both when they are missing.
   *
   * @param {string} folder
   * @param {{durable?: boolean}} [options] `durable`: every commit waits for the disk
   */
  static async open(folder, { durable = false } = {}) {
    const remote = new Remote(new URL('./sqlite-worker.js', import.meta.url), { folder, durable });
    const store = new SqliteStore(remote);
    try {
      await store.#ask('ready');
    } catch (error) {
      await remote.end();
      throw error;
    }
    return store;
  }

  /**
   * @param {string} method
   * @param {unknown[]} values
   */
  async #ask(method, ...values) {
    try {
      return await this.#remote.ask(method, values, DEADLINE);
    } catch (error) {
      throw new EdictumError('unavailable', `the store failed: ${messageOf(error)}`);
    }
  }

  /**
   * @param {import('../store.js').Visit} visit
   * @param {import('../store.js').Operation[]} operations
   * @returns {Promise<import('../store.js').Outcome[]>}
   */
  perform(visit, operations) {
    return this.#ask('perform', visit, operations);
  }

  /**
   * @param {OpenCall} call
   * @returns {Promise<boolean>}
   */
  open(call) {
    return this.#ask('open', call);
  }

  /**
   * @param {string} guard
   * @param {string} callId
   * @returns {Promise<OpenCall | null>}
   */
  find(guard, callId) {
    return this.#ask('find', guard, callId);
  }

  /**
   * @param {string} guard
   * @param {string} callId
   * @param {number} now
   * @param {number} until
   * @returns {Promise<import('../store.js').Claimed>}
   */
  claim(guard, callId, now, until) {
    return this.#ask('claim', guard, callId, now, until);
  }

  /**
   * @param {OpenCall} call
   * @param {number} claim
   * @returns {Promise<boolean>}
   */
  update(call, claim) {
    return this.#ask('update', call, claim);
  }

  /**
   * @param {string} guard
   * @param {string} callId
   * @param {number} claim
   * @returns {Promise<void>}
   */
  release(guard, callId, claim) {
    return this.#ask('release', guard, callId, claim);
  }

  /**
   * @param {string} guard
   * @param {string} callId
   * @param {number} claim
   * @returns {Promise<boolean>}
   */
  close(guard, callId, claim) {
    return this.#ask('close', guard, callId, claim);
  }

  /**
   * @param {string | null} guard
   * @param {number} limit
   * @returns {Promise<OpenCall[]>}
   */
  list(guard, limit) {
    return this.#ask('list', guard, limit);
  }

  /**
   * @param {string} guard
   * @param {number} now
   * @param {number} limit
   * @returns {Promise<string[]>}
   */
  due(guard, now, limit) {
    return this.#ask('due', guard, now, limit);
  }

  /**
   * @param {string} guard
   * @returns {Promise<number | null>}
   */
  nextDeadline(guard) {
    return this.#ask('nextDeadline', guard);
  }

  /**
   * @param {string} owner
   * @param {string} name
   * @returns {Promise<string | null>}
   */
  memory(owner, name) {
    return this.#ask('memory', owner, name);
  }

  /**
   * @param {string} owner
   * @param {string} name
   * @param {string | null} value
   * @returns {Promise<void>}
   */
  remember(owner, name, value) {
    return this.#ask('remember', owner, name, value);
  }

  /**
   * @param {number} now
   * @returns {Promise<number>}
   */
  expire(now) {
    return this.#ask('expire', now);
  }

  /** Closes the file. */
  async end() {
    try {
      await this.#ask('end');
    } finally {
      await this.#remote.end();
    }
  }
}
