/**
 * The SQLite file of `SqliteStore`, blocking: it is used in a thread of its own. Several processes may share one, hosts in
 * other languages too: the layout is that of the reference host (`host/src/store/sqlite.rs`, `PRAGMA user_version` 1).
 */

import { closeSync, fchmodSync, fstatSync, mkdirSync, openSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

import { MAX_SCAN, incremented, missing } from './values.js';

/** The file in the folder of a store. */
export const FILE_NAME = 'edictum.sqlite';

/** How long to wait for another process that writes, in milliseconds. */
const BUSY = 5_000;

const LAYOUT_VERSION = 1;
const APPLICATION_ID = 0x4544_4354;

const LAYOUT = `
CREATE TABLE session (id TEXT PRIMARY KEY, expires_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX session_expires ON session (expires_ms);
CREATE TABLE entry (
    session TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, version INTEGER NOT NULL,
    PRIMARY KEY (session, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE open_call (
    guard TEXT NOT NULL, call_id TEXT NOT NULL, session TEXT NOT NULL, call TEXT NOT NULL, ticket TEXT NOT NULL,
    approval TEXT, state TEXT NOT NULL CHECK (state IN ('asking', 'allowed')), deadline_ms INTEGER NOT NULL,
    claim INTEGER NOT NULL DEFAULT 0, claimed_until_ms INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (guard, call_id)
) STRICT;
CREATE INDEX open_call_due ON open_call (guard, deadline_ms);
CREATE INDEX open_call_session ON open_call (session);
CREATE TABLE memory (
    owner TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (owner, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE sequence (name TEXT PRIMARY KEY, last INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO sequence VALUES ('version', 0), ('claim', 0);
`;

const CALL_COLUMNS = 'guard, call_id, session, call, ticket, approval, state, deadline_ms';

/** @typedef {import('../store.js').Visit} Visit */
/** @typedef {import('../store.js').Operation} Operation */
/** @typedef {import('../store.js').Outcome} Outcome */
/** @typedef {import('../store.js').OpenCall} OpenCall */

/** Node's own SQLite where it has one, else the package with the same interface. @returns {any} */
function sqlite() {
  const require = createRequire(import.meta.url);
  for (const name of ['node:sqlite', '@photostructure/sqlite']) {
    try {
      return require(name);
    } catch (error) {
      const code = /** @type {{code?: string}} */ (error).code;
      if (code !== 'ERR_UNKNOWN_BUILTIN_MODULE' && code !== 'MODULE_NOT_FOUND') throw error;
    }
  }
  throw new Error('a store on disk needs Node 22.13, or the package @photostructure/sqlite');
}

export class SqliteFile {
  #database;
  #durable;
  /** @type {Map<string, any>} */
  #statements = new Map();

  /**
   * Opens the store in a folder, and makes both when they are missing. A transaction survives the death of the process;
   * `durable`: also that of the machine.
   *
   * @param {string} folder
   * @param {boolean} durable
   */
  constructor(folder, durable) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const path = join(folder, FILE_NAME);
    makePrivate(path);
    this.#durable = durable;
    this.#database = new (sqlite().DatabaseSync)(path);
    this.#database.exec(`PRAGMA busy_timeout = ${BUSY}`);
    this.#writeAhead();
    this.#synchronous(durable);
    this.#layOut();
  }

  end() {
    this.#statements.clear();
    this.#database.close();
  }

  /** Two processes that turn a new file into a WAL file at once get "busy" without the wait. */
  #writeAhead() {
    const since = Date.now();
    for (;;) {
      try {
        this.#database.exec('PRAGMA journal_mode = wal');
        return;
      } catch (error) {
        if (!/locked|busy/i.test(String(error)) || Date.now() - since > BUSY) throw error;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
      }
    }
  }

  #layOut() {
    const version = () => Number(this.#database.prepare('PRAGMA user_version').get().user_version);
    if (version() === 0) {
      this.#transaction('IMMEDIATE', () => {
        if (version() !== 0) return;
        this.#database.exec(LAYOUT);
        this.#database.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${LAYOUT_VERSION}`);
      });
    }
    const found = version();
    if (found !== LAYOUT_VERSION) {
      throw new Error(`the file has layout ${found}, this version reads ${LAYOUT_VERSION}`);
    }
  }

  /** @param {boolean} durable whether every commit waits for the disk */
  #synchronous(durable) {
    this.#database.exec(`PRAGMA synchronous = ${durable ? 'full' : 'normal'}`);
  }

  /**
   * @template T
   * @param {'IMMEDIATE' | 'DEFERRED'} behavior
   * @param {() => T} work
   * @returns {T}
   */
  #transaction(behavior, work) {
    this.#database.exec(`BEGIN ${behavior}`);
    try {
      const result = work();
      this.#database.exec('COMMIT');
      return result;
    } catch (error) {
      try {
        this.#database.exec('ROLLBACK');
      } catch {
        // SQLite has rolled back by itself.
      }
      throw error;
    }
  }

  /**
   * Writes what need not survive the machine: a claim ends by itself. Whatever is written durably later takes this to the
   * disk with it.
   *
   * @template T
   * @param {() => T} work
   */
  #writeSoon(work) {
    if (!this.#durable) return this.#transaction('IMMEDIATE', work);
    this.#synchronous(false);
    try {
      return this.#transaction('IMMEDIATE', work);
    } finally {
      this.#synchronous(true);
    }
  }

  /** @param {string} sql */
  #prepared(sql) {
    let statement = this.#statements.get(sql);
    if (!statement) {
      statement = this.#database.prepare(sql);
      statement.setReadBigInts(true);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  /**
   * The first row.
   *
   * @param {string} sql
   * @param {any[]} values
   * @returns {any}
   */
  #row(sql, ...values) {
    return this.#prepared(sql).get(...values);
  }

  /**
   * @param {string} sql
   * @param {any[]} values
   * @returns {any[]}
   */
  #rows(sql, ...values) {
    return this.#prepared(sql).all(...values);
  }

  /**
   * How many rows were changed.
   *
   * @param {string} sql
   * @param {any[]} values
   */
  #run(sql, ...values) {
    return Number(this.#prepared(sql).run(...values).changes);
  }

  /** @param {'version' | 'claim'} sequence */
  #next(sequence) {
    return this.#row('UPDATE sequence SET last = last + 1 WHERE name = ? RETURNING last', sequence).last;
  }

  /**
   * @param {Visit} visit
   * @param {Operation[]} operations
   * @returns {Outcome[]}
   */
  perform(visit, operations) {
    const each = () => operations.map((operation) => this.#perform(visit.session, operation));
    if (operations.every((step) => 'get' in step || 'scan' in step)) {
      const seen = this.#transaction('DEFERRED', () => {
        const expires = this.#expires(visit.session);
        const quiet = expires === null || !(expires <= visit.now || worthMoving(expires, visit));
        return quiet ? each() : null;
      });
      if (seen) return seen;
    }
    return this.#transaction('IMMEDIATE', () => {
      this.#visit(visit);
      return each();
    });
  }

  /**
   * Forgets what has expired, and puts the end off.
   *
   * @param {Visit} visit
   */
  #visit(visit) {
    const expires = this.#expires(visit.session);
    if (expires !== null && expires <= visit.now && !this.#hasOpenCall(visit.session)) {
      this.#run('DELETE FROM entry WHERE session = ?', visit.session);
    }
    if (expires === null || worthMoving(expires, visit)) {
      this.#run(
        'INSERT INTO session VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET expires_ms = excluded.expires_ms',
        visit.session,
        integer(visit.expires),
      );
    }
  }

  /**
   * @param {string} session
   * @returns {number | null}
   */
  #expires(session) {
    const row = this.#row('SELECT expires_ms FROM session WHERE id = ?', session);
    return row ? Number(row.expires_ms) : null;
  }

  /** @param {string} session */
  #hasOpenCall(session) {
    return this.#row('SELECT EXISTS (SELECT 1 FROM open_call WHERE session = ?) AS there', session).there !== 0n;
  }

  /**
   * @param {string} session
   * @param {Operation} operation
   * @returns {Outcome}
   */
  #perform(session, operation) {
    if ('get' in operation) return { done: this.#entry(session, operation.get) };
    if ('increment' in operation) {
      const { key, amount } = operation.increment;
      const step = incremented(this.#entry(session, key).value, amount);
      return 'sum' in step ? { done: this.#put(session, key, step.sum) } : step;
    }
    if ('put' in operation) {
      const { key, value, expected } = operation.put;
      if (expected !== undefined && expected !== null) {
        const present = this.#entry(session, key);
        if (present.version !== expected) return { conflict: present };
      }
      return { done: this.#put(session, key, value) };
    }
    if ('delete' in operation) {
      this.#run('DELETE FROM entry WHERE session = ? AND key = ?', session, operation.delete);
      return { done: missing() };
    }
    if ('scan' in operation) return this.#scan(session, operation.scan);
    return { failed: 'the store does not know this operation' };
  }

  /**
   * @param {string} session
   * @param {string} key
   */
  #entry(session, key) {
    const row = this.#row('SELECT value, version FROM entry WHERE session = ? AND key = ?', session, key);
    return row ? { value: row.value, version: String(row.version) } : missing();
  }

  /**
   * @param {string} session
   * @param {string} key
   * @param {string} value
   */
  #put(session, key, value) {
    const version = this.#next('version');
    this.#run(
      `INSERT INTO entry VALUES (?, ?, ?, ?)
       ON CONFLICT (session, key) DO UPDATE SET value = excluded.value, version = excluded.version`,
      session,
      key,
      value,
      version,
    );
    return { value, version: String(version) };
  }

  /**
   * @param {string} session
   * @param {string} prefix
   * @returns {Outcome}
   */
  #scan(session, prefix) {
    const rows = this.#rows(
      `SELECT key, value FROM entry WHERE session = ? AND key >= ? AND substr(key, 1, length(?)) = ?
       ORDER BY key LIMIT ?`,
      session,
      prefix,
      prefix,
      prefix,
      MAX_SCAN + 1,
    );
    if (rows.length > MAX_SCAN) return { failed: 'too many keys' };
    return { found: rows.map((row) => [row.key, row.value]) };
  }

  /** @param {OpenCall} call */
  open(call) {
    return this.#transaction('IMMEDIATE', () => {
      const written = this.#run(
        `INSERT INTO open_call (guard, call_id, session, call, ticket, approval, state, deadline_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
        call.guard,
        call.callId,
        call.session,
        call.call,
        call.ticket,
        call.approval,
        call.state,
        integer(call.deadline),
      );
      return written === 1;
    });
  }

  /**
   * @param {string} guard
   * @param {string} callId
   */
  find(guard, callId) {
    const row = this.#row(`SELECT ${CALL_COLUMNS} FROM open_call WHERE guard = ? AND call_id = ?`, guard, callId);
    return row ? openCall(row) : null;
  }

  /**
   * @param {string} guard
   * @param {string} callId
   * @param {number} now
   * @param {number} until
   * @returns {import('../store.js').Claimed}
   */
  claim(guard, callId, now, until) {
    return this.#writeSoon(() => {
      const claim = this.#next('claim');
      const row = this.#row(
        `UPDATE open_call SET claim = ?, claimed_until_ms = ?
         WHERE guard = ? AND call_id = ? AND claimed_until_ms <= ? RETURNING ${CALL_COLUMNS}`,
        claim,
        integer(until),
        guard,
        callId,
        integer(now),
      );
      if (row) return { yes: openCall(row), claim: Number(claim) };
      return this.find(guard, callId) ? 'busy' : 'missing';
    });
  }

  /**
   * @param {OpenCall} call
   * @param {number} claim
   */
  update(call, claim) {
    return this.#transaction('IMMEDIATE', () => {
      const written = this.#run(
        `UPDATE open_call
         SET call = ?, ticket = ?, approval = ?, state = ?, deadline_ms = ?, claim = 0, claimed_until_ms = 0
         WHERE guard = ? AND call_id = ? AND claim = ?`,
        call.call,
        call.ticket,
        call.approval,
        call.state,
        integer(call.deadline),
        call.guard,
        call.callId,
        claim,
      );
      return written === 1;
    });
  }

  /**
   * @param {string} guard
   * @param {string} callId
   * @param {number} claim
   */
  release(guard, callId, claim) {
    this.#writeSoon(() =>
      this.#run(
        'UPDATE open_call SET claim = 0, claimed_until_ms = 0 WHERE guard = ? AND call_id = ? AND claim = ?',
        guard,
        callId,
        claim,
      ),
    );
  }

  /**
   * @param {string} guard
   * @param {string} callId
   * @param {number} claim
   */
  close(guard, callId, claim) {
    return this.#transaction('IMMEDIATE', () => {
      const sql = 'DELETE FROM open_call WHERE guard = ? AND call_id = ? AND claim = ?';
      return this.#run(sql, guard, callId, claim) === 1;
    });
  }

  /**
   * @param {string | null} guard
   * @param {number} limit
   */
  list(guard, limit) {
    const order = 'ORDER BY deadline_ms, call_id LIMIT ?';
    const rows =
      guard === null
        ? this.#rows(`SELECT ${CALL_COLUMNS} FROM open_call ${order}`, limit)
        : this.#rows(`SELECT ${CALL_COLUMNS} FROM open_call WHERE guard = ? ${order}`, guard, limit);
    return rows.map(openCall);
  }

  /**
   * @param {string} guard
   * @param {number} now
   * @param {number} limit
   * @returns {string[]}
   */
  due(guard, now, limit) {
    const rows = this.#rows(
      `SELECT call_id FROM open_call WHERE guard = ? AND deadline_ms <= ? AND claimed_until_ms <= ?
       ORDER BY deadline_ms, call_id LIMIT ?`,
      guard,
      integer(now),
      integer(now),
      limit,
    );
    return rows.map((row) => row.call_id);
  }

  /** @param {string} guard */
  nextDeadline(guard) {
    const sql = 'SELECT min(max(deadline_ms, claimed_until_ms)) AS next FROM open_call WHERE guard = ?';
    const { next } = this.#row(sql, guard);
    return next === null ? null : Number(next);
  }

  /**
   * @param {string} owner
   * @param {string} name
   * @returns {string | null}
   */
  memory(owner, name) {
    return this.#row('SELECT value FROM memory WHERE owner = ? AND name = ?', owner, name)?.value ?? null;
  }

  /**
   * @param {string} owner
   * @param {string} name
   * @param {string | null} value
   */
  remember(owner, name, value) {
    this.#transaction('IMMEDIATE', () => {
      if (value === null) return this.#run('DELETE FROM memory WHERE owner = ? AND name = ?', owner, name);
      const sql = 'INSERT INTO memory VALUES (?, ?, ?) ON CONFLICT (owner, name) DO UPDATE SET value = excluded.value';
      return this.#run(sql, owner, name, value);
    });
  }

  /** @param {number} now */
  expire(now) {
    const gone = `SELECT id FROM session WHERE expires_ms <= ?
                  AND NOT EXISTS (SELECT 1 FROM open_call WHERE open_call.session = session.id)`;
    return this.#transaction('IMMEDIATE', () => {
      this.#run(`DELETE FROM entry WHERE session IN (${gone})`, integer(now));
      return this.#run(`DELETE FROM session WHERE id IN (${gone})`, integer(now));
    });
  }
}

/**
 * The file is its owner's alone: it holds calls with their arguments. SQLite gives the files beside it the same permissions.
 *
 * @param {string} path
 */
function makePrivate(path) {
  if (process.platform === 'win32') return;
  const file = openSync(path, 'a+', 0o600);
  try {
    if ((fstatSync(file).mode & 0o077) !== 0) fchmodSync(file, 0o600);
  } finally {
    closeSync(file);
  }
}

/**
 * Whether the end of a session moves by enough to be written down: reading a session should cost no write.
 *
 * @param {number} expires
 * @param {Visit} visit
 */
function worthMoving(expires, visit) {
  const noticeable = Math.min((visit.expires - visit.now) / 10, 60_000);
  return Math.abs(visit.expires - expires) > noticeable;
}

/** @param {number} moment */
function integer(moment) {
  return Math.min(Math.trunc(moment), Number.MAX_SAFE_INTEGER);
}

/**
 * @param {any} row
 * @returns {OpenCall}
 */
function openCall(row) {
  return {
    guard: row.guard,
    callId: row.call_id,
    session: row.session,
    call: row.call,
    ticket: row.ticket,
    approval: row.approval,
    state: row.state === 'asking' ? 'asking' : 'allowed',
    deadline: Number(row.deadline_ms),
  };
}
