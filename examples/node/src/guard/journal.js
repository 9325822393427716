/** The decision log of a guard, and what the engine wants people to know. */

import { messageOf } from '../errors.js';
import { log } from '../log.js';

export class Journal {
  #guard;
  #sink;
  /** Codes of notices that people have been told. @type {Set<string>} */
  #told = new Set();

  /**
   * @param {string} guard
   * @param {import('../events.js').EventSink | undefined} sink
   */
  constructor(guard, sink) {
    this.#guard = guard;
    this.#sink = sink;
  }

  /**
   * Hands events on. False: they could not be kept.
   *
   * @param {string[]} events
   */
  async keep(events) {
    if (!this.#sink || events.length === 0) return true;
    try {
      await this.#sink.keep(events);
      return true;
    } catch (error) {
      log('error', `guard ${this.#guard}: ${events.length} events cannot be kept: ${messageOf(error)}`);
      return false;
    }
  }

  /**
   * Tells people, each once, what the engine wants them to know.
   *
   * @param {string} detail JSON text of a decision or a conclusion
   */
  notice(detail) {
    if (!detail.includes('"notices":[')) return;
    for (const { code, message } of JSON.parse(detail).notices ?? []) {
      if (this.#told.has(code)) continue;
      this.#told.add(code);
      log('warning', `guard ${this.#guard}: ${message} (${code})`);
    }
  }

  async close() {
    await this.#sink?.close?.();
  }
}
