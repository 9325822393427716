/**
 * People who are asked through a server: one queue for each, which submits requests, looks after them as the component says, and settles
 * the calls that wait for them.
 */

import { now } from '../clock.js';
import { messageOf } from '../errors.js';
import { isGone } from '../guard/open-calls.js';
import { log } from '../log.js';
import { Alarm, momentOf, nowBig } from './alarm.js';
import { Lane } from './lane.js';
import { fingerprint } from './shared.js';

/** Under this owner a store has what the server gave to keep with a call. */
const OWNER = 'edictum-approval';

/**
 * A call that waits for a server has so many milliseconds more than its deadline: the last look is asked at the deadline, and its answer
 * takes time. The queue ends it; this is for when there is no queue any more.
 */
export const GRACE = 120_000;

/** Milliseconds until a step is tried again whose instance ended abnormally. */
const RETRY = 1_000;

/**
 * Somebody who waits for an answer.
 *
 * @typedef {object} Asker
 * @property {string} guard
 * @property {string} callId
 * @property {string} approval what people are asked; JSON text, redacted
 * @property {import('../store.js').Store} store
 * @property {(outcome: import('../guard.js').ApprovalOutcome, at: number) => Promise<unknown>} settle
 */

export class Approvals {
  #endpoint;
  #options;
  /** @type {Lane | undefined} */
  #lane;
  /** By reference. @type {Map<string, Asker>} */
  #askers = new Map();
  /** @type {((lane: Lane) => Promise<void>)[]} */
  #commands = [];
  #alarm = new Alarm();
  #over = false;
  #running = false;

  /**
   * @param {import('./lane.js').Endpoint} endpoint
   * @param {object} [options]
   */
  constructor(endpoint, options = {}) {
    this.#endpoint = endpoint;
    this.#options = options;
  }

  /**
   * Asks people about a call. A second time changes nothing.
   *
   * @param {Asker} asker
   */
  submit(asker) {
    const reference = referenceOf(asker.guard, asker.callId, asker.approval);
    this.#askers.set(reference, asker);
    this.#command(async (lane) => {
      const memory = await recall(asker.store, reference);
      if (this.#askers.get(reference) !== asker) return;
      await lane.call('submit', reference, asker.approval, memory, nowBig());
    });
  }

  /**
   * These were decided, the server says.
   *
   * @param {string[]} approvalIds
   */
  wake(approvalIds) {
    this.#command((lane) => lane.call('wake', approvalIds, nowBig()));
  }

  /**
   * The call does not wait any more.
   *
   * @param {string} guard
   * @param {string} callId
   * @param {string} approval
   */
  forget(guard, callId, approval) {
    const reference = referenceOf(guard, callId, approval);
    const asker = this.#askers.get(reference);
    if (!asker) return;
    this.#askers.delete(reference);
    void remember(asker.store, reference, null);
    this.#command((lane) => lane.call('forget', reference));
  }

  /** @param {(lane: Lane) => Promise<void>} command */
  #command(command) {
    if (this.#over) return;
    this.#commands.push(command);
    if (this.#running) this.#alarm.ring();
    else void this.#run();
  }

  async #run() {
    this.#running = true;
    while (!this.#over) {
      let next;
      try {
        if (!this.#lane) {
          this.#lane = await Lane.open('approval-queue', this.#endpoint, this.#options);
          // Also after the thread of an earlier one has ended: a second time changes nothing.
          for (const asker of [...this.#askers.values()]) this.submit(asker);
        }
        for (let command = this.#commands.shift(); command; command = this.#commands.shift()) await command(this.#lane);
        next = this.#take(await this.#lane.call('step', nowBig()));
      } catch (error) {
        if (this.#over) return;
        log('error', `approvals cannot be looked after: ${messageOf(error)}`);
        await this.#lane?.end();
        this.#lane = undefined;
        next = now() + RETRY;
      }
      await this.#alarm.wait(next);
    }
  }

  /** @param {{created: {reference: string, memory: string}[], settled: {reference: string, outcome: string, at: bigint}[], next?: bigint}} step */
  #take(step) {
    for (const { reference, memory } of step.created) {
      const asker = this.#askers.get(reference);
      if (asker) void remember(asker.store, reference, memory);
    }
    for (const { reference, outcome, at } of step.settled) {
      const asker = this.#askers.get(reference);
      if (!asker) continue;
      this.#askers.delete(reference);
      void remember(asker.store, reference, null);
      // Not waited for: a guard that is slow to take its answer holds up no other.
      void settle(asker, JSON.parse(outcome), Number(at));
    }
    return momentOf(step.next);
  }

  async end() {
    this.#over = true;
    this.#alarm.ring();
    await this.#lane?.end();
  }
}

/**
 * @param {Asker} asker
 * @param {import('../guard.js').ApprovalOutcome} outcome
 * @param {number} at
 */
async function settle(asker, outcome, at) {
  try {
    await asker.settle(outcome, at);
  } catch (error) {
    // Somebody else was faster, or the guard was closed: the call is in the store, and its deadline is watched.
    if (isGone(error) || /** @type {{code?: string}} */ (error).code === 'closed') return;
    log('error', `a decided call cannot be settled: ${messageOf(error)}`);
  }
}

/**
 * The same for the same question about the same call, also after a restart: the server knows it again. Visible ASCII, whatever the call
 * is called.
 *
 * @param {string} guard
 * @param {string} callId
 * @param {string} approval
 */
function referenceOf(guard, callId, approval) {
  return fingerprint(guard, callId, approval);
}

/**
 * @param {import('../store.js').Store} store
 * @param {string} reference
 */
async function recall(store, reference) {
  try {
    return (await store.memory(OWNER, reference)) ?? undefined;
  } catch (error) {
    log('warning', `what is known of an approval cannot be read: ${messageOf(error)}`);
    return undefined;
  }
}

/**
 * Without it a request is made once more after a restart; the server knows it by its reference.
 *
 * @param {import('../store.js').Store} store
 * @param {string} reference
 * @param {string | null} memory
 */
async function remember(store, reference, memory) {
  try {
    await store.remember(OWNER, reference, memory);
  } catch (error) {
    log('warning', `what is known of an approval cannot be kept: ${messageOf(error)}`);
  }
}
