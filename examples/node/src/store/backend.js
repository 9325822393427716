/**
 * A store over a simple backend of a program's, as users of the SDKs write them: sessions go there, without versions; open
 * calls stay in this process's memory.
 */

import { messageOf } from '../errors.js';
import { MemoryStore } from './memory.js';

/**
 * @typedef {object} StorageBackend
 * @property {(key: string) => Promise<string | null | undefined> | string | null | undefined} get
 * @property {(key: string, value: string) => Promise<unknown> | unknown} set
 * @property {(key: string) => Promise<unknown> | unknown} delete
 * @property {(key: string, amount: number) => Promise<number> | number} increment atomic; answers with the sum
 */

/** @typedef {import('../store.js').Operation} Operation */
/** @typedef {import('../store.js').Outcome} Outcome */

export class BackendStore extends MemoryStore {
  #backend;

  /** @param {StorageBackend} backend */
  constructor(backend) {
    super();
    this.#backend = backend;
    this.remote = true;
  }

  /**
   * @override
   * @param {import('../store.js').Visit} _visit
   * @param {Operation[]} operations
   * @returns {any} a promise of outcomes
   */
  perform(_visit, operations) {
    return this.#all(operations);
  }

  /** @param {Operation[]} operations */
  async #all(operations) {
    /** @type {Map<string, Promise<unknown>>} */
    const last = new Map();
    // Those on one key go one after another, the others at the same time.
    const outcomes = operations.map((operation) => {
      const key = keyOf(operation);
      const outcome = (last.get(key) ?? Promise.resolve()).then(() => this.#step(operation));
      last.set(key, outcome);
      return outcome;
    });
    return Promise.all(outcomes);
  }

  /**
   * @param {Operation} operation
   * @returns {Promise<Outcome>}
   */
  async #step(operation) {
    const backend = this.#backend;
    try {
      if ('get' in operation) return done(await backend.get(operation.get));
      if ('increment' in operation) {
        const sum = await backend.increment(operation.increment.key, operation.increment.amount);
        return Number.isSafeInteger(sum) ? done(String(sum)) : { failed: 'a counter is not an integer' };
      }
      if ('put' in operation) {
        await backend.set(operation.put.key, operation.put.value);
        return done(operation.put.value);
      }
      if ('delete' in operation) {
        await backend.delete(operation.delete);
        return done(null);
      }
      return { failed: 'this store cannot list its keys' };
    } catch (error) {
      return { failed: messageOf(error) };
    }
  }
}

/**
 * @param {unknown} value
 * @returns {Outcome}
 */
function done(value) {
  if (value === null || value === undefined) return { done: { value: null } };
  if (typeof value === 'number' || typeof value === 'bigint') return { done: { value: String(value) } };
  return typeof value === 'string' ? { done: { value } } : { failed: 'the store answered with something else than text' };
}

/** @param {Operation} operation */
function keyOf(operation) {
  const step = Object.values(operation)[0];
  return typeof step === 'string' ? step : step.key;
}
