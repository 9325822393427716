/**
 * The state of sessions on a server. Operations of one session go as they come; those of many sessions go together when more come than
 * there are threads for.
 */

import { messageOf } from '../errors.js';
import { Alarm, momentOf, nowBig } from './alarm.js';
import { Lane } from './lane.js';

/** Most threads that talk to one server about sessions at the same time. */
const MAX_LANES = 4;

/** Most sessions that one of them takes together. */
const MAX_TOGETHER = 32;

/** Most times that an operation is submitted; the component gives up earlier. */
const MAX_ATTEMPTS = 8;

/** @typedef {import('../store.js').Operation} Operation */
/** @typedef {import('../store.js').Outcome} Outcome */
/** @typedef {{tag: 'settled', val: {tag: string, val: any}} | {tag: 'later', val: bigint}} Performed */
/** @typedef {{operations: Operation[], attempt: number, resolve: (performed: Performed[]) => void, reject: (error: unknown) => void}} Waiting */

export class ServerSessions {
  #endpoint;
  /** @type {Waiting[]} */
  #waiting = [];
  /** @type {Lane[]} */
  #idle = [];
  #atWork = 0;
  #over = false;

  /** @param {import('./lane.js').Endpoint} endpoint */
  constructor(endpoint) {
    this.#endpoint = endpoint;
  }

  /**
   * One outcome for each operation of a session. Throws when none of them is known to have been carried out.
   *
   * @param {Operation[]} operations
   * @returns {Promise<Outcome[]>}
   */
  async perform(operations) {
    /** @type {(Outcome | undefined)[]} */
    const outcomes = operations.map(() => undefined);
    // What is still to be done, by its place.
    let left = operations.map((operation, place) => ({ operation, place }));
    for (let attempt = 0; attempt < MAX_ATTEMPTS && left.length > 0; attempt += 1) {
      const performed = await this.#submit(left.map(({ operation }) => operation), attempt);
      const putOff = [];
      let again = 0;
      for (const [at, one] of left.entries()) {
        const came = performed[at];
        if (came?.tag === 'settled') outcomes[one.place] = textOutcome(came.val);
        else {
          putOff.push(one);
          again = Math.max(again, momentOf(came?.val) ?? 0);
        }
      }
      left = putOff;
      if (left.length > 0) await new Alarm(true).wait(again);
    }
    return outcomes.map((outcome) => outcome ?? { failed: 'the server of sessions gives no answer' });
  }

  /**
   * @param {Operation[]} operations
   * @param {number} attempt
   * @returns {Promise<Performed[]>}
   */
  #submit(operations, attempt) {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ operations, attempt, resolve, reject });
      if (this.#atWork < MAX_LANES) void this.#work();
    });
  }

  /** One thread, as long as there is something to do. */
  async #work() {
    this.#atWork += 1;
    let lane = this.#idle.pop();
    for (let together = this.#take(); together.length > 0; together = this.#take()) {
      try {
        if (this.#over) throw new Error('the guard is closed');
        lane ??= await Lane.open('session-store', this.#endpoint);
        const sessions = together.map(({ operations }) => operations.map(typedOperation));
        const performed = await lane.call('perform', sessions, together[0]?.attempt ?? 0, nowBig());
        together.forEach(({ resolve }, at) => resolve(performed[at]));
      } catch (error) {
        for (const { reject } of together) reject(new Error(messageOf(error)));
      }
    }
    this.#atWork -= 1;
    if (lane && this.#over) await lane.end();
    else if (lane) this.#idle.push(lane);
  }

  /** What waits with the same attempt. */
  #take() {
    const first = this.#waiting.shift();
    if (!first) return [];
    const together = [first];
    // While threads are free, everybody gets one alone: nobody waits for another session's slow request.
    while (
      this.#atWork === MAX_LANES && together.length < MAX_TOGETHER && this.#waiting[0]?.attempt === first.attempt
    ) {
      together.push(/** @type {Waiting} */ (this.#waiting.shift()));
    }
    return together;
  }

  async end() {
    this.#over = true;
    await Promise.all(this.#idle.splice(0).map((lane) => lane.end()));
  }
}

/** @param {Operation} operation */
function typedOperation(operation) {
  const [tag, val] = Object.entries(operation)[0] ?? [];
  return { tag, val };
}

/**
 * @param {{tag: string, val: any}} outcome
 * @returns {Outcome}
 */
function textOutcome({ tag, val }) {
  if (tag !== 'done' && tag !== 'conflict') return /** @type {Outcome} */ ({ [tag]: val });
  // What is undefined would be left out anyway.
  return /** @type {Outcome} */ ({ [tag]: { value: val.value, version: val.version } });
}
