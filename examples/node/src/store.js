/**
 * Where state lives: sessions and open calls. The engine chooses the keys of sessions and the meaning of every value; a
 * store only keeps them, and gives each value a version.
 *
 * `MemoryStore` and `SqliteStore` are stores. A simpler `StorageBackend` (`get`, `set`, `delete`, `increment`) keeps
 * sessions only: `BackendStore` makes a store of it.
 *
 * Each method may answer at once or with a promise; one that throws has done nothing.
 */

/**
 * One step on one key, as the engine asks for it (`wit/schemas/inquiry.schema.json`).
 *
 * @typedef {{get: string} | {increment: {key: string, amount: number}}
 *   | {put: {key: string, value: string, expected?: string}} | {delete: string} | {scan: string}} Operation
 */

/** @typedef {{value?: string | null, version?: string | null}} Entry */

/** @typedef {{done: Entry} | {conflict: Entry} | {found: [string, string][]} | {failed: string}} Outcome */

/**
 * Whose session a batch of operations is for, and when.
 *
 * @typedef {object} Visit
 * @property {string} session
 * @property {number} now
 * @property {number} expires when the session is forgotten if nobody comes again; one with an open call outlives this
 */

/**
 * A call between two of its steps. Its texts may hold secrets.
 *
 * @typedef {object} OpenCall
 * @property {string} guard name of the guard it belongs to
 * @property {string} callId unique in its guard
 * @property {string} session
 * @property {string} call the call's text as the engine got it
 * @property {string} ticket all that the engine knows of it
 * @property {string | null} approval what a person is asked, redacted (JSON); with `asking`
 * @property {'asking' | 'allowed'} state
 * @property {number} deadline when the approval has timed out, or the call is taken as abandoned
 */

/** @typedef {{yes: OpenCall, claim: number} | 'busy' | 'missing'} Claimed */

/**
 * @template T
 * @typedef {T | Promise<T>} Maybe
 */

/**
 * @typedef {object} Store
 * @property {boolean} [shared] whether other processes may change what is in it
 * @property {boolean} [remote] whether it may be lost while the process goes on
 * @property {(visit: Visit, operations: Operation[]) => Maybe<Outcome[]>} perform in their order, one outcome each
 * @property {(call: OpenCall) => Maybe<boolean>} open false: there is one with this id already
 * @property {(guard: string, callId: string) => Maybe<OpenCall | null>} find
 * @property {(guard: string, callId: string, now: number, until: number) => Maybe<Claimed>} claim takes an open call for a
 *   step, so that of two who settle or finish it only one does
 * @property {(call: OpenCall, claim: number) => Maybe<boolean>} update false: the claim had ended
 * @property {(guard: string, callId: string, claim: number) => Maybe<void>} release
 * @property {(guard: string, callId: string, claim: number) => Maybe<boolean>} close
 * @property {(guard: string | null, limit: number) => Maybe<OpenCall[]>} list by deadline
 * @property {(guard: string, now: number, limit: number) => Maybe<string[]>} due ids of calls whose deadline has come
 * @property {(guard: string) => Maybe<number | null>} nextDeadline when `due` will next give something
 * @property {(owner: string, name: string) => Maybe<string | null>} memory what a part of a guard remembers
 * @property {(owner: string, name: string, value: string | null) => Maybe<void>} remember
 * @property {(now: number) => Maybe<number>} expire removes sessions that nobody came to in time
 * @property {() => Maybe<void>} [end]
 */

export { BackendStore } from './store/backend.js';
export { MemoryStore } from './store/memory.js';
export { SqliteStore } from './store/sqlite.js';
