/**
 * A guard whose rules, sessions, approvals and log live on edictum-api. What the bytes of that server mean is in the component
 * (`lane.js`); here is who asks for them, and when. Guards with the same server share all of it.
 */

import { EdictumConfigError } from '../errors.js';
import { Sinks } from '../events.js';
import { Guard } from '../guard.js';
import { withhold } from '../process.js';
import { MemoryStore } from '../store/memory.js';
import { Approvals, GRACE } from './approvals.js';
import { ServerLog } from './log.js';
import { Source } from './rulesets.js';
import { ServerSessions } from './sessions.js';
import { Table, fingerprint } from './shared.js';

/**
 * What is said about a server. Names, meaning and defaults are those of `Edictum.from_server()` of the Python SDK.
 *
 * @typedef {object} ServerOptions
 * @property {string} url
 * @property {string} apiKey
 * @property {string} [agentId] `default`
 * @property {string} [env] `production`
 * @property {string} [bundleName] absent: the server assigns one, within 30 s
 * @property {Record<string, string>} [tags]
 * @property {'enforce' | 'observe'} [mode] `enforce`; goes before the mode of the rules
 * @property {boolean} [autoWatch] true
 * @property {boolean} [allowInsecure] permits plain http to other machines
 * @property {boolean} [verifySignatures]
 * @property {string[]} [signingPublicKeys] hex
 * @property {boolean} [offlineStart] true: with the last ruleset that was taken while the server is away
 * @property {boolean} [checkName] true: the ruleset must call itself what it was asked for
 * @property {number} [timeoutMs] of one attempt of a request; 30,000
 * @property {'v1' | 'console'} [apiGeneration]
 */

/**
 * Who does what for the guard.
 *
 * @typedef {object} Choices
 * @property {'server' | 'host'} sessions
 * @property {'server' | 'host' | 'none'} approvals
 * @property {'server' | 'host'} log
 * @property {(code: string, message: string) => void} [onError]
 */

/** @typedef {Awaited<ReturnType<typeof connect>>} Connected */

const tables = {
  /** @type {Table<Source>} */
  sources: new Table(),
  /** @type {Table<ServerSessions>} */
  sessions: new Table(),
  /** @type {Table<Approvals>} */
  approvals: new Table(),
  /** @type {Table<ServerLog>} */
  logs: new Table(),
};

/** Guards that name no store share one, for what sources remember. */
const common = new MemoryStore();

/**
 * @param {ServerOptions} server
 * @returns {import('./lane.js').Endpoint}
 */
export function endpointOf(server) {
  if (typeof server.url !== 'string' || typeof server.apiKey !== 'string') {
    throw new EdictumConfigError('bad-request', '`url` and `apiKey` are texts');
  }
  withhold(server.apiKey);
  /** @type {Record<string, any>} */
  const options = {
    url: server.url,
    agent_id: server.agentId ?? 'default',
    env: server.env ?? 'production',
    tags: server.tags ?? {},
    allow_insecure: server.allowInsecure ?? false,
  };
  if (server.timeoutMs !== undefined) options.timeout_ms = server.timeoutMs;
  if (server.apiGeneration !== undefined) options.api_generation = server.apiGeneration;
  return { options, apiKey: server.apiKey };
}

/** @param {ServerOptions} server */
export function sourceOptions(server) {
  return {
    bundle_name: server.bundleName,
    auto_watch: server.autoWatch ?? true,
    verify_signatures: server.verifySignatures ?? false,
    signing_public_keys: server.signingPublicKeys ?? [],
    offline_start: server.offlineStart ?? true,
    check_name: server.checkName ?? true,
  };
}

/**
 * Connects: fetches (or is assigned) the rules, verifies them, and from then on keeps them new. The guard has its first rules when this
 * is done.
 *
 * @param {ServerOptions} server
 * @param {Choices} choices
 * @param {Omit<import('../guard.js').GuardOptions, 'rulesets'>} given
 */
export async function connect(server, choices, given) {
  const endpoint = endpointOf(server);
  const { agent_id: _agent, tags: _tags, env: _env, ...address } = endpoint.options;
  const shared = fingerprint(JSON.stringify(address), server.apiKey);
  const options = sourceOptions(server);
  // Everybody in the environment gets the same ruleset by its name, whoever they are.
  const own = server.bundleName === undefined ? endpoint.options : { ...address, env: endpoint.options.env };
  const store = given.store ?? common;

  /** @type {(() => Promise<void>)[]} */
  const ends = [];
  /**
   * @template {{end: () => unknown}} T
   * @param {Table<T>} table
   * @param {string} key
   * @param {() => T} make
   */
  const take = (table, key, make) => {
    const held = table.take(key, make);
    ends.push(() => table.giveBack(held));
    return held.value;
  };
  const end = async () => {
    for (const one of ends.splice(0).reverse()) await one();
  };

  try {
    const inEnvironment = fingerprint(endpoint.options.env, shared);
    const bare = given.options?.bare_events ?? false;
    const approvals = choices.approvals === 'server' ? take(tables.approvals, shared, () => new Approvals(endpoint)) : undefined;
    const sessions = choices.sessions === 'server' ? take(tables.sessions, inEnvironment, () => new ServerSessions(endpoint)) : undefined;
    const serverLog =
      choices.log === 'server'
        ? take(tables.logs, fingerprint(shared, String(bare)), () => {
            const maxBytes = given.options?.outbox_max_bytes;
            return new ServerLog(endpoint, { options: { bare_events: bare }, maxBytes });
          })
        : undefined;

    /** @type {Guard | undefined} */
    let guard;
    /** @type {import('./rulesets.js').Follower} */
    const follower = {
      prepare: async ({ ruleset }) => {
        // Its signature has been verified in the component, under the keys of the source.
        const rulesets = [{ name: ruleset.name, text: ruleset.text }];
        if (guard) return guard.prepare(rulesets);
        const made = await Guard.open({
          ...given,
          name: given.name ?? server.agentId ?? 'default',
          agentId: endpoint.options.agent_id,
          rulesets,
          store,
          options: withoutSignatures({ mode: server.mode ?? 'enforce', environment: endpoint.options.env, ...given.options }),
          sink: sinkOf(given.sink, serverLog),
          sessions,
          people: choices.approvals === 'none' ? 'nobody' : approvals && peopleOf(approvals),
          ownRules: options.auto_watch ? 'the rules of this guard come from its server' : undefined,
        });
        guard = made;
        return () => {};
      },
      trouble: (code, message) => choices.onError?.(code, message),
    };
    const sourceKey = fingerprint(JSON.stringify(own), server.apiKey, JSON.stringify(options));
    const source = await follow(sourceKey, follower, ends, () => {
      const memoryName = fingerprint(JSON.stringify(own), server.bundleName ?? '');
      const wake = (/** @type {string[]} */ ids) => tables.approvals.find(shared)?.wake(ids);
      return new Source({ endpoint, options, store, memoryName, wake });
    });
    if (!guard) throw new Error('the source has given no rules');
    return { guard: /** @type {Guard} */ (guard), source, log: serverLog, end };
  } catch (error) {
    await end();
    throw error;
  }
}

/**
 * @param {string} key
 * @param {import('./rulesets.js').Follower} follower
 * @param {(() => Promise<void>)[]} ends
 * @param {() => Source} make
 */
async function follow(key, follower, ends, make) {
  for (;;) {
    const held = tables.sources.take(key, make);
    const hadFailed = held.value.failed !== undefined;
    try {
      await held.value.follow(follower);
    } catch (error) {
      held.value.leave(follower);
      if (held.value.failed) tables.sources.forget(held);
      await tables.sources.giveBack(held);
      // Its start had failed before this guard came: it gets a start of its own.
      if (hadFailed) continue;
      throw error;
    }
    ends.push(async () => {
      held.value.leave(follower);
      await tables.sources.giveBack(held);
    });
    return held.value;
  }
}

/**
 * Signatures are the source's to verify; a ruleset from memory has none beside it.
 *
 * @param {Record<string, any>} options
 */
function withoutSignatures({ verify_signatures: _wanted, signing_public_keys: _keys, ...options }) {
  return options;
}

/**
 * @param {import('../events.js').EventSink | undefined} sink
 * @param {ServerLog | undefined} serverLog
 * @returns {import('../events.js').EventSink | undefined}
 */
function sinkOf(sink, serverLog) {
  if (!serverLog) return sink;
  // Others may use it too: it is not closed with the guard.
  const kept = { keep: (/** @type {string[]} */ events) => serverLog.keep(events) };
  return sink ? new Sinks([sink, kept]) : kept;
}

/**
 * @param {Approvals} approvals
 * @returns {import('../guard.js').People}
 */
function peopleOf(approvals) {
  return {
    grace: GRACE,
    submit: (guard, callId, approval) => {
      const settle = (/** @type {import('../guard.js').ApprovalOutcome} */ outcome, /** @type {number} */ at) =>
        guard.settleAt(callId, outcome, at);
      approvals.submit({ guard: guard.name, callId, approval, store: guard.store, settle });
    },
    forget: (guard, callId, approval) => approvals.forget(guard.name, callId, approval),
  };
}

/**
 * How a server-backed guard is doing.
 *
 * @param {Pick<Connected, 'guard' | 'source' | 'log'>} connected
 */
export async function healthOf({ guard, source, log }) {
  /** @type {Record<string, any>} */
  let of = { stream: 'degraded', last_error: 'the ruleset source does not answer' };
  try {
    of = await source.health();
  } catch {
    // Said above.
  }
  return {
    policy_version: guard.policyVersion,
    bundle_name: of.bundle_name,
    stream: of.stream ?? 'off',
    log: log ? log.state : 'off',
    last_error: of.last_error ?? log?.lastError,
    unsent_events: log?.unsent ?? 0,
    rules_age_s: of.rules_age_s ?? 0,
    from_memory: of.from_memory ?? false,
  };
}
