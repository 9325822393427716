/** What a driver has open: guards by name with the events they gave, stores by folder, and whose session a call is in. */

import { realpathSync } from 'node:fs';

import { SqliteStore } from '../store/sqlite.js';
import { Turns } from '../turns.js';
import { Refusal } from './protocol.js';

/** How long a guard that is closed lets its log be delivered, in milliseconds. */
const LAST_FLUSH = 2_000;

/**
 * An open guard.
 *
 * @typedef {object} Open
 * @property {import('../guard.js').Guard} guard
 * @property {import('../events.js').EventBuffer} events
 * @property {string} ruleset name of its first ruleset: what a reload is called
 * @property {Map<string, string>} calls sessions of the calls that are open
 * @property {string} [folder] of its store
 * @property {import('../server/connect.js').Connected} [connected] what a server does for it
 */

export class Session {
  /** @type {Map<string, Open>} */
  #guards = new Map();
  /** By folder. @type {Map<string, {store: SqliteStore, users: number}>} */
  #stores = new Map();
  #lanes = new Turns();

  /** @param {import('../engine.js').Engine} engine */
  constructor(engine) {
    this.engine = engine;
  }

  /**
   * The guard of this name.
   *
   * @param {string} name
   */
  guard(name) {
    const open = this.#guards.get(name);
    if (!open) throw new Refusal('not-found', `there is no open guard \`${name}\``);
    return open;
  }

  /**
   * @param {string} name
   * @param {Open} open
   */
  insert(name, open) {
    this.#guards.set(name, open);
  }

  /**
   * Closes the guard of this name, if there is one, and gives the number of events that no server has.
   *
   * @param {string} name
   */
  async close(name) {
    const open = this.#guards.get(name);
    this.#guards.delete(name);
    if (!open) return 0;
    await open.guard.close();
    const unsent = (await open.connected?.log?.flush(LAST_FLUSH)) ?? 0;
    await open.connected?.end();
    if (open.folder !== undefined) await this.releaseStore(open.folder);
    return unsent;
  }

  async closeAll() {
    for (const name of [...this.#guards.keys()]) await this.close(name);
  }

  /** Does what the clock has made due, in every guard. */
  async runDue() {
    for (const { guard } of [...this.#guards.values()]) await guard.runDue();
  }

  /**
   * Guards of one folder share one store.
   *
   * @param {string} path
   * @param {boolean} durable
   */
  async store(path, durable) {
    let folder = real(path);
    let shared = this.#stores.get(folder);
    if (!shared) {
      shared = { store: await SqliteStore.open(path, { durable }), users: 0 };
      folder = real(path);
      this.#stores.set(folder, shared);
    }
    shared.users += 1;
    return { store: shared.store, folder };
  }

  /** @param {string} folder */
  async releaseStore(folder) {
    const shared = this.#stores.get(folder);
    if (!shared) return;
    shared.users -= 1;
    if (shared.users > 0) return;
    this.#stores.delete(folder);
    await shared.store.end();
  }

  /**
   * Requests of one session in the order in which they came, also when they run at the same time.
   *
   * @param {import('./protocol.js').Request} request
   * @param {() => Promise<void>} work
   */
  inOrder(request, work) {
    const lane = this.#lane(request);
    return lane === undefined ? work() : this.#lanes.take(lane, work);
  }

  /** @param {import('./protocol.js').Request} request */
  #lane(request) {
    if (!['begin', 'approve', 'finish', 'counters', 'workflow'].includes(request.op)) return undefined;
    try {
      const name = request.string('guard');
      const open = name === undefined ? undefined : this.#guards.get(name);
      if (!open || (request.op === 'approve' && request.string('outcome') === undefined)) return undefined;
      const callId = request.string('call_id');
      const session = request.string('session_id') ?? (callId === undefined ? undefined : open.calls.get(callId));
      if (session === undefined) return undefined;
      // Known before it begins: what comes behind it may be about this call.
      if (request.op === 'begin' && callId !== undefined) open.calls.set(callId, session);
      return `${name}\0${session}`;
    } catch {
      // The operation says what is wrong.
      return undefined;
    }
  }
}

/** @param {string} path */
function real(path) {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
