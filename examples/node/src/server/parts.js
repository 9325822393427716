/** The parts of a server-backed guard alone, under the names of the SDKs: each can be used without the others. */

import { randomUUID } from 'node:crypto';

import { now } from '../clock.js';
import { engine } from '../engine.js';
import { EdictumConfigError, EdictumError } from '../errors.js';
import { jsonOf } from '../json.js';
import { textOf } from '../options.js';
import { MemoryStore } from '../store/memory.js';
import { alive } from '../wait.js';
import { Approvals } from './approvals.js';
import { sourceOptions } from './connect.js';
import { ServerLog } from './log.js';
import { Source } from './rulesets.js';
import { ServerSessions } from './sessions.js';

/** @typedef {import('./client.js').EdictumServerClient} EdictumServerClient */

/** How long `close` lets the log be delivered, in milliseconds. */
const LAST_FLUSH = 5_000;

/** Buffers events and sends them to edictum-api. For `auditSink`. */
export class ServerAuditSink {
  #log;

  /**
   * @param {EdictumServerClient} client
   * @param {{maxBufferBytes?: number, maxBatch?: number, maxWaitMs?: number}} [options]
   */
  constructor(client, { maxBufferBytes, maxBatch, maxWaitMs } = {}) {
    const options = { max_events: maxBatch, max_wait_ms: maxWaitMs };
    this.#log = new ServerLog(client.endpoint, { options, maxBytes: maxBufferBytes });
  }

  /**
   * All events of a step at once.
   *
   * @param {string[]} events JSON texts in wire form
   */
  keep(events) {
    this.#log.keep(events);
  }

  /**
   * @param {any} event
   * @param {string} [text] the same as JSON
   */
  emit(event, text) {
    this.keep([text ?? jsonOf(event, 'event')]);
  }

  /** Events that the server does not have yet. */
  get unsent() {
    return this.#log.unsent;
  }

  /**
   * Lets them be delivered now, and gives the number of those that are left.
   *
   * @param {{timeoutMs?: number}} [options]
   */
  flush({ timeoutMs = 10_000 } = {}) {
    return this.#log.flush(timeoutMs);
  }

  async close() {
    await this.#log.flush(LAST_FLUSH);
    await this.#log.end();
  }
}

/** Sessions on the server: counters and workflow state, shared by machines. For `storageBackend`. Open calls stay here. */
export class ServerBackend extends MemoryStore {
  #sessions;

  /** @param {EdictumServerClient} client */
  constructor(client) {
    super();
    this.remote = true;
    this.#sessions = new ServerSessions(client.endpoint);
  }

  /**
   * @override
   * @param {import('../store.js').Visit} _visit
   * @param {import('../store.js').Operation[]} operations
   * @returns {any} a promise of outcomes
   */
  perform(_visit, operations) {
    return this.#sessions.perform(operations);
  }

  /**
   * @param {string} key
   * @returns {Promise<string | null>}
   */
  async get(key) {
    return this.#one({ get: key });
  }

  /**
   * @param {string} key
   * @param {string} value
   */
  async set(key, value) {
    await this.#one({ put: { key, value } });
  }

  /** @param {string} key */
  async delete(key) {
    await this.#one({ delete: key });
  }

  /**
   * @param {string} key
   * @param {number} [amount]
   */
  async increment(key, amount = 1) {
    return Number(await this.#one({ increment: { key, amount } }));
  }

  /** @param {import('../store.js').Operation} operation */
  async #one(operation) {
    const [outcome] = await this.#sessions.perform([operation]);
    if (outcome && 'done' in outcome) return outcome.done.value ?? null;
    throw new EdictumError('unavailable', outcome && 'failed' in outcome ? outcome.failed : 'the server gives no answer');
  }

  /** Ends its threads. */
  async end() {
    await this.#sessions.end();
  }
}

/** People who are asked through the server. For `approvalBackend`. */
export class ServerApprovalBackend {
  #approvals;
  #store = new MemoryStore();
  /** @type {Map<string, Promise<import('../approvals.js').ApprovalDecision>>} */
  #waiting = new Map();

  /**
   * @param {EdictumServerClient} client
   * @param {{pollMinMs?: number, pollMaxMs?: number, pollsPerSecond?: number}} [options]
   */
  constructor(client, { pollMinMs, pollMaxMs, pollsPerSecond } = {}) {
    const options = { poll_min_ms: pollMinMs, poll_max_ms: pollMaxMs, polls_per_second: pollsPerSecond };
    this.#approvals = new Approvals(client.endpoint, options);
    this.agentId = client.endpoint.options.agent_id;
  }

  /**
   * @param {Partial<import('../approvals.js').ApprovalRequest> & {message: string}} request
   * @returns {Promise<{approvalId: string}>} an id of this object's own
   */
  async requestApproval(request) {
    const { callId = randomUUID(), message, timeout = 300, timeoutAction = 'block' } = request;
    const approval = {
      message,
      timeout,
      timeout_action: timeoutAction,
      deadline_ms: request.deadlineMs ?? now() + timeout * 1_000,
      tool_name: request.toolName ?? 'unknown',
      tool_args: request.toolArgs ?? {},
      agent_id: this.agentId,
      call_id: callId,
      session_id: request.sessionId,
      principal: request.principal,
      metadata: request.metadata,
      stage_id: request.stageId,
    };
    const approvalId = randomUUID();
    const decided = new Promise((/** @type {(decision: import('../approvals.js').ApprovalDecision) => void} */ resolve) => {
      this.#approvals.submit({
        guard: approvalId,
        callId,
        approval: jsonOf(approval, 'approval'),
        store: this.#store,
        settle: async (outcome) => resolve(decisionOf(outcome)),
      });
    });
    this.#waiting.set(approvalId, decided);
    return { approvalId };
  }

  /** @param {string} approvalId */
  async waitForDecision(approvalId) {
    const decided = this.#waiting.get(approvalId);
    if (!decided) throw new EdictumError('not-found', 'there is no such approval');
    // The queue ends it at its deadline.
    try {
      const decision = await alive(decided);
      if (decision.status === 'pending') throw new EdictumError('unavailable', 'nobody could be asked');
      return decision;
    } finally {
      this.#waiting.delete(approvalId);
    }
  }

  async close() {
    await this.#approvals.end();
  }
}

/**
 * @param {import('../guard.js').ApprovalOutcome} outcome
 * @returns {import('../approvals.js').ApprovalDecision}
 */
function decisionOf({ verdict, approver, reason, approval_id: id }) {
  const status = /** @type {const} */ ({ approved: 'approved', rejected: 'denied', timed_out: 'timeout', unreachable: 'pending' })[verdict];
  return { approved: verdict === 'approved', status, approver, reason, approvalId: id ?? undefined };
}

/** Verified rulesets, and their changes: `for await (const ruleset of source)`. */
export class ServerContractSource {
  #client;
  #options;
  #store;
  /** @type {Source | undefined} */
  #source;
  /** @type {any[]} */
  #news = [];
  /** @type {(() => void) | undefined} */
  #wake;

  /**
   * @param {EdictumServerClient} client with `bundleName`, or the server assigns one
   * @param {Pick<import('./connect.js').ServerOptions, 'autoWatch' | 'verifySignatures' | 'signingPublicKeys' | 'offlineStart' | 'checkName'> & {store?: import('../store.js').Store}} [options]
   */
  constructor(client, { store = new MemoryStore(), ...options } = {}) {
    this.#client = client;
    this.#options = { ...client.server, ...options };
    this.#store = store;
  }

  /**
   * Fetches the first ruleset, and listens from then on.
   *
   * @returns {Promise<{name: string, yaml: string, revision: string, version: number | null}>}
   */
  async connect() {
    if (this.#source) throw new EdictumError('conflict', 'the source is connected');
    const options = sourceOptions(this.#options);
    const memoryName = this.#options.bundleName ?? '';
    this.#source = new Source({ endpoint: this.#client.endpoint, options, store: this.#store, memoryName, wake: () => {} });
    const release = await this.#source.follow({
      prepare: async (release) => () => {
        this.#news.push(shown(release));
        this.#wake?.();
      },
      trouble: () => {},
    });
    return shown(release);
  }

  /** How it is doing. */
  async health() {
    return this.#source?.health();
  }

  /** Each ruleset that is to be used from then on, the first one included. */
  async *[Symbol.asyncIterator]() {
    if (!this.#source) await this.connect();
    while (this.#source) {
      while (this.#news.length > 0) yield this.#news.shift();
      await alive(new Promise((/** @type {(value: void) => void} */ resolve) => (this.#wake = resolve)));
    }
  }

  async close() {
    const source = this.#source;
    this.#source = undefined;
    await source?.end();
    this.#wake?.();
  }
}

/** @param {import('./rulesets.js').Release} release */
function shown({ ruleset, revision, version }) {
  return { name: ruleset.name, yaml: ruleset.text, revision, version: version === undefined ? null : Number(version) };
}

/**
 * The trusted key that made this signature of exactly these bytes; throws when none did.
 *
 * @param {string | Uint8Array} content
 * @param {string} signature base64 or hex
 * @param {string | string[]} keys Ed25519, hex
 * @returns {Promise<string>}
 */
export async function verifyBundleSignature(content, signature, keys) {
  const text = textOf(content, 'the ruleset');
  const verified = (await engine()).ask((decider) => decider.verify(text, signature, [keys].flat()));
  if ('key' in verified) return verified.key;
  throw new EdictumConfigError('unauthorized', `the signature does not verify: ${verified.error}`);
}
