/**
 * One part of the server's API in a thread of its own: a hanging request there delays nothing here. Where its instance ends, the next
 * call has a new one, which knows only what it is told anew.
 */

import { EdictumError, messageOf, refused } from '../errors.js';
import { Remote } from '../remote.js';
import { guardModules } from './component.js';

/** @typedef {'endpoint' | 'ruleset-source' | 'session-store' | 'approval-queue' | 'decision-log'} Part */

/**
 * @typedef {object} Endpoint
 * @property {Record<string, any>} options of `endpoint` in the interface, but for its seed
 * @property {string} apiKey
 */

/** Time of one attempt, unless the options say otherwise, in milliseconds. */
const ATTEMPT = 30_000;

export class Lane {
  #remote;
  #deadline;

  /**
   * @param {Remote} remote
   * @param {number} deadline
   */
  constructor(remote, deadline) {
    this.#remote = remote;
    this.#deadline = deadline;
  }

  /**
   * Opens a part. Makes no request. What the options forbid is an error.
   *
   * @param {Part} part
   * @param {Endpoint} endpoint
   * @param {object} [options]
   * @param {string} [memory]
   */
  static async open(part, { options: given, apiKey }, options = {}, memory = undefined) {
    const seed = crypto.getRandomValues(new BigUint64Array(1))[0] ?? 0n;
    const data = {
      modules: await guardModules(),
      part,
      endpoint: JSON.stringify({ ...given, seed: Number(seed >> 12n) }),
      apiKey,
      options: JSON.stringify(options),
      memory,
    };
    // Several attempts, and requests that wait for one another.
    const deadline = (given.timeout_ms ?? ATTEMPT) * 4 + 30_000;
    const lane = new Lane(new Remote(new URL('./lane-worker.js', import.meta.url), data), deadline);
    try {
      await lane.#ask('open', []);
    } catch (error) {
      await lane.end();
      throw error;
    }
    return lane;
  }

  /**
   * A method of the part, by its name in the glue.
   *
   * @param {string} method
   * @param {unknown[]} values
   */
  call(method, ...values) {
    return this.#ask('call', [method, values]);
  }

  /**
   * @param {string} method
   * @param {unknown[]} values
   * @returns {Promise<any>}
   */
  async #ask(method, values) {
    let answer;
    try {
      answer = await this.#remote.ask(method, values, this.#deadline);
    } catch (error) {
      throw new EdictumError('unavailable', `a lane to the server ended: ${messageOf(error)}`);
    }
    if ('err' in answer) throw refused(answer.err);
    return answer.ok;
  }

  /** Ends the thread, whatever it does. */
  end() {
    return this.#remote.end();
  }
}

/**
 * Says what the component has to say in its log. An error is given back.
 *
 * @param {string} text `level`, `code`, `message`; redacted
 * @returns {{level: string, code: string, message: string}}
 */
export function notice(text) {
  return JSON.parse(text);
}
