/**
 * The decision log on its way to a server: bounded, in order, in this process's memory until the server has it. When it is full the
 * oldest events give way to a record of how many they were.
 */

import { now } from '../clock.js';
import { EdictumError, messageOf } from '../errors.js';
import { withSequence } from '../events.js';
import { log } from '../log.js';
import { Alarm, momentOf, nowBig } from './alarm.js';
import { Lane, notice } from './lane.js';

/** @typedef {import('../events.js').EventSink} EventSink */

/** Milliseconds until a delivery is tried again whose instance ended abnormally. */
const RETRY = 1_000;

/** Most entries that are handed over together; a batch takes fewer. */
const MANY = 200;

/**
 * @typedef {{count: number, first: number, last: number}} Gap
 * @typedef {{sequence: number, event: string, bytes: number} | {sequence: number, gap: Gap, bytes: number}} Entry
 */

/** @implements {EventSink} */
export class ServerLog {
  #endpoint;
  #options;
  #maxBytes;
  /** @type {Lane | undefined} */
  #lane;
  /** @type {Entry[]} */
  #entries = [];
  #bytes = 0;
  #sequence = 0;
  #flushing = 0;
  #alarm = new Alarm();
  #over = false;
  #running = false;
  /** @type {Set<() => void>} */
  #watchers = new Set();
  /** Some of it had to be given up. */
  #lossy = false;
  /** Why it does not go on now. @type {string | undefined} */
  lastError;

  /**
   * @param {import('./lane.js').Endpoint} endpoint
   * @param {{options?: object, maxBytes?: number}} [given]
   */
  constructor(endpoint, { options = {}, maxBytes = 64 << 20 } = {}) {
    this.#endpoint = endpoint;
    this.#options = options;
    this.#maxBytes = maxBytes;
  }

  /** Events that the server does not have yet. */
  get unsent() {
    return this.#entries.reduce((sum, entry) => sum + ('gap' in entry ? entry.gap.count : 1), 0);
  }

  /** @returns {'ok' | 'degraded'} */
  get state() {
    return this.lastError === undefined && !this.#lossy ? 'ok' : 'degraded';
  }

  /** @param {string[]} events */
  keep(events) {
    if (this.#over) throw new EdictumError('closed', 'the decision log is closed');
    for (const event of events) {
      const kept = withSequence(event, this.#sequence);
      const bytes = Buffer.byteLength(kept);
      this.#entries.push({ sequence: this.#sequence, event: kept, bytes });
      this.#sequence += 1;
      this.#bytes += bytes;
    }
    if (this.#bytes > this.#maxBytes) this.#giveWay();
    this.#go();
  }

  /** The oldest go; what they were is on record. */
  #giveWay() {
    let count = 0;
    let first;
    let last = 0;
    while (this.#entries.length > 1 && (this.#bytes > this.#maxBytes || count === 0)) {
      const entry = /** @type {Entry} */ (this.#entries.shift());
      this.#bytes -= entry.bytes;
      first ??= 'gap' in entry ? entry.gap.first : entry.sequence;
      last = entry.sequence;
      count += 'gap' in entry ? entry.gap.count : 1;
    }
    if (first === undefined) return;
    this.#entries.unshift({ sequence: last, gap: { count, first, last }, bytes: 0 });
    if (!this.#lossy) log('error', 'the decision log is full: its oldest events are given up');
    this.#lossy = true;
  }

  #go() {
    if (this.#running) this.#alarm.ring();
    else void this.#run();
  }

  async #run() {
    this.#running = true;
    while (!this.#over) {
      let next;
      try {
        this.#lane ??= await Lane.open('decision-log', this.#endpoint, this.#options);
        next = await this.#deliver(this.#lane);
      } catch (error) {
        if (this.#over) return;
        this.lastError = messageOf(error);
        log('error', `the decision log cannot be delivered: ${this.lastError}`);
        next = now() + RETRY;
      }
      for (const watcher of [...this.#watchers]) watcher();
      await this.#alarm.wait(next);
    }
  }

  /** @param {Lane} lane */
  async #deliver(lane) {
    const entries = this.#entries.slice(0, MANY).map(pending);
    const delivery = await lane.call('deliver', entries, this.#flushing > 0, nowBig());
    for (const text of delivery.notices) {
      const { level, code, message } = notice(text);
      if (level !== 'info') log(level === 'error' ? 'error' : 'warning', `${message} (${code})`);
    }
    for (const [sequence, reason] of delivery.dead) log('error', `the server refuses event ${sequence}: ${reason}`);
    if (delivery.settledThrough !== undefined) this.#settle(Number(delivery.settledThrough));
    this.lastError = delivery.failure?.message;
    return momentOf(delivery.next);
  }

  /** @param {number} through */
  #settle(through) {
    let settled = 0;
    for (const entry of this.#entries) {
      if (entry.sequence > through) break;
      this.#bytes -= entry.bytes;
      settled += 1;
    }
    this.#entries.splice(0, settled);
  }

  /**
   * Lets it be delivered now, waits for that at most so long, and gives the number of events that are left.
   *
   * @param {number} within milliseconds
   */
  async flush(within) {
    /** @type {() => void} */
    let watcher = () => {};
    /** @type {NodeJS.Timeout | undefined} */
    let timer;
    this.#flushing += 1;
    if (this.#entries.length > 0) {
      this.#go();
      await new Promise((/** @type {(value: void) => void} */ resolve) => {
        timer = setTimeout(resolve, within);
        watcher = () => {
          if (this.#entries.length === 0) resolve();
          // Not its last batch, or a failure that may pass.
          else if (this.lastError === undefined) this.#alarm.ring();
        };
        this.#watchers.add(watcher);
      });
    }
    clearTimeout(timer);
    this.#watchers.delete(watcher);
    this.#flushing -= 1;
    return this.unsent;
  }

  async end() {
    this.#over = true;
    this.#alarm.ring();
    await this.#lane?.end();
  }
}

/** @param {Entry} entry */
function pending(entry) {
  const sequence = BigInt(entry.sequence);
  if (!('gap' in entry)) return { sequence, content: { tag: 'event', val: entry.event } };
  const { count, first, last } = entry.gap;
  const val = { count: BigInt(count), firstSequence: BigInt(first), lastSequence: BigInt(last) };
  return { sequence, content: { tag: 'gap', val } };
}
