/** A store in this process's memory: gone with the process, seen by nobody else. */

import { MAX_SCAN, incremented, missing } from './values.js';

/** @typedef {import('../store.js').Operation} Operation */
/** @typedef {import('../store.js').Outcome} Outcome */
/** @typedef {import('../store.js').OpenCall} OpenCall */

/**
 * @typedef {object} Session
 * @property {number} expires
 * @property {number} openCalls
 * @property {Map<string, {value: string, version: string}>} entries
 */

/** @typedef {{call: OpenCall, claim: number, until: number}} Kept */

/** @implements {Required<Omit<import('../store.js').Store, 'end'>>} */
export class MemoryStore {
  shared = false;
  remote = false;

  /** @type {Map<string, Session>} */
  #sessions = new Map();
  /** By guard, then by call id. @type {Map<string, Map<string, Kept>>} */
  #calls = new Map();
  /** @type {Map<string, string>} */
  #memories = new Map();
  #version = 0;
  #claim = 0;

  /**
   * @param {import('../store.js').Visit} visit
   * @param {Operation[]} operations
   * @returns {Outcome[]}
   */
  perform(visit, operations) {
    const session = this.#session(visit.session);
    if (expired(session, visit.now)) session.entries.clear();
    session.expires = visit.expires;
    return operations.map((operation) => this.#perform(session, operation));
  }

  /** @param {string} id */
  #session(id) {
    let session = this.#sessions.get(id);
    if (!session) {
      session = { expires: 0, openCalls: 0, entries: new Map() };
      this.#sessions.set(id, session);
    }
    return session;
  }

  /**
   * @param {Session} session
   * @param {Operation} operation
   * @returns {Outcome}
   */
  #perform(session, operation) {
    const { entries } = session;
    if ('get' in operation) return { done: entries.get(operation.get) ?? missing() };
    if ('increment' in operation) {
      const { key, amount } = operation.increment;
      const step = incremented(entries.get(key)?.value, amount);
      return 'sum' in step ? this.#write(entries, key, step.sum) : step;
    }
    if ('put' in operation) {
      const { key, value, expected } = operation.put;
      const present = entries.get(key) ?? missing();
      if (expected !== undefined && expected !== null && expected !== present.version) return { conflict: present };
      return this.#write(entries, key, value);
    }
    if ('delete' in operation) {
      entries.delete(operation.delete);
      return { done: missing() };
    }
    if ('scan' in operation) return scan(entries, operation.scan);
    return { failed: 'the store does not know this operation' };
  }

  /**
   * @param {Session['entries']} entries
   * @param {string} key
   * @param {string} value
   */
  #write(entries, key, value) {
    this.#version += 1;
    const entry = { value, version: String(this.#version) };
    entries.set(key, entry);
    return { done: entry };
  }

  /** @param {OpenCall} call */
  open(call) {
    const calls = this.#calls.get(call.guard) ?? new Map();
    if (calls.has(call.callId)) return false;
    this.#calls.set(call.guard, calls);
    calls.set(call.callId, { call, claim: 0, until: 0 });
    this.#session(call.session).openCalls += 1;
    return true;
  }

  /**
   * @param {string} guard
   * @param {string} callId
   */
  find(guard, callId) {
    return this.#calls.get(guard)?.get(callId)?.call ?? null;
  }

  /**
   * @param {string} guard
   * @param {string} callId
   * @param {number} now
   * @param {number} until
   * @returns {import('../store.js').Claimed}
   */
  claim(guard, callId, now, until) {
    const kept = this.#calls.get(guard)?.get(callId);
    if (!kept) return 'missing';
    if (kept.until > now) return 'busy';
    this.#claim += 1;
    kept.claim = this.#claim;
    kept.until = until;
    return { yes: kept.call, claim: kept.claim };
  }

  /**
   * @param {OpenCall} call
   * @param {number} claim
   */
  update(call, claim) {
    const kept = this.#claimed(call.guard, call.callId, claim);
    if (!kept) return false;
    Object.assign(kept, { call, claim: 0, until: 0 });
    return true;
  }

  /**
   * @param {string} guard
   * @param {string} callId
   * @param {number} claim
   */
  release(guard, callId, claim) {
    const kept = this.#claimed(guard, callId, claim);
    if (kept) Object.assign(kept, { claim: 0, until: 0 });
  }

  /**
   * @param {string} guard
   * @param {string} callId
   * @param {number} claim
   */
  close(guard, callId, claim) {
    const kept = this.#claimed(guard, callId, claim);
    if (!kept) return false;
    this.#calls.get(guard)?.delete(callId);
    const session = this.#sessions.get(kept.call.session);
    if (session) session.openCalls -= 1;
    return true;
  }

  /**
   * @param {string} guard
   * @param {string} callId
   * @param {number} claim
   */
  #claimed(guard, callId, claim) {
    const kept = this.#calls.get(guard)?.get(callId);
    return kept && kept.claim === claim ? kept : undefined;
  }

  /**
   * @param {string | null} guard
   * @param {number} limit
   */
  list(guard, limit) {
    const of = guard === null ? [...this.#calls.values()] : [this.#calls.get(guard) ?? new Map()];
    const calls = of.flatMap((calls) => [...calls.values()].map((kept) => kept.call));
    return calls.sort(byDeadline).slice(0, limit);
  }

  /**
   * @param {string} guard
   * @param {number} now
   * @param {number} limit
   */
  due(guard, now, limit) {
    const kept = [...(this.#calls.get(guard)?.values() ?? [])];
    const due = kept.filter(({ call, until }) => call.deadline <= now && until <= now).map(({ call }) => call);
    return due.sort(byDeadline).slice(0, limit).map((call) => call.callId);
  }

  /** @param {string} guard */
  nextDeadline(guard) {
    let next = Infinity;
    for (const { call, until } of this.#calls.get(guard)?.values() ?? []) {
      next = Math.min(next, Math.max(call.deadline, until));
    }
    return next === Infinity ? null : next;
  }

  /**
   * @param {string} owner
   * @param {string} name
   */
  memory(owner, name) {
    return this.#memories.get(JSON.stringify([owner, name])) ?? null;
  }

  /**
   * @param {string} owner
   * @param {string} name
   * @param {string | null} value
   */
  remember(owner, name, value) {
    const key = JSON.stringify([owner, name]);
    if (value === null) this.#memories.delete(key);
    else this.#memories.set(key, value);
  }

  /** @param {number} now */
  expire(now) {
    let gone = 0;
    for (const [id, session] of this.#sessions) {
      if (expired(session, now)) {
        this.#sessions.delete(id);
        gone += 1;
      }
    }
    return gone;
  }
}

/**
 * @param {Session} session
 * @param {number} now
 */
function expired(session, now) {
  return session.openCalls === 0 && session.expires <= now;
}

/**
 * @param {OpenCall} one
 * @param {OpenCall} two
 */
function byDeadline(one, two) {
  return one.deadline - two.deadline || (one.callId < two.callId ? -1 : 1);
}

/**
 * @param {Session['entries']} entries
 * @param {string} prefix
 * @returns {Outcome}
 */
function scan(entries, prefix) {
  /** @type {[string, string][]} */
  const found = [];
  for (const [key, { value }] of entries) {
    if (key.startsWith(prefix)) found.push([key, value]);
  }
  if (found.length > MAX_SCAN) return { failed: 'too many keys' };
  return { found: found.sort(([one], [two]) => (one < two ? -1 : 1)) };
}
