/**
 * `Edictum`: a guard in JavaScript's habits. Arguments are values or JSON text; errors have types; everything that may wait
 * gives a promise.
 */

import { randomUUID } from 'node:crypto';

import { ask } from './approvals.js';
import { engine } from './engine.js';
import { EdictumConfigError, EdictumDenied, EdictumError, EdictumToolError, messageOf } from './errors.js';
import { Guard } from './guard.js';
import { isGone } from './guard/open-calls.js';
import { RawJson, jsonOf } from './json.js';
import { log } from './log.js';
import { argumentsOf, camelCased, outputOf } from './native.js';
import { NativeGuard } from './libedictum/guard.js';
import { prepared, preparedNative, readDocument, templateOf, textOf } from './options.js';
import { connect, healthOf } from './server/connect.js';

/** @typedef {import('./options.js').EdictumOptions} EdictumOptions */
/** @typedef {import('./guard/recipe.js').Ruleset} Ruleset */
/** @typedef {import('./decision.js').Decision} Decision */

/** How long `close` lets the decision log be delivered, in milliseconds. */
const LAST_FLUSH = 5_000;

/** Milliseconds of a batch after which the event loop has its turn. */
const TURN = 1.5;

/**
 * What is known of a call besides its tool and arguments.
 *
 * @typedef {object} CallOptions
 * @property {string} [sessionId] default: the guard's own session
 * @property {string} [callId] default: a new one
 * @property {string} [parentSessionId]
 * @property {string} [environment]
 * @property {object | null} [principal] null: nobody
 * @property {object} [metadata]
 * @property {string} [toolUseId]
 * @property {string} [parentCallId]
 * @property {number} [callIndex]
 */

/**
 * @typedef {object} RuleResult
 * @property {string} id
 * @property {string} type
 * @property {boolean} passed
 * @property {string | null} message
 * @property {string[]} tags
 * @property {boolean} observed
 * @property {string} [action]
 * @property {boolean} policyError
 */

/**
 * A dry run.
 *
 * @typedef {object} EvaluationResult
 * @property {'allow' | 'warn' | 'block'} decision
 * @property {string} toolName
 * @property {RuleResult[]} rules
 * @property {string[]} blockReasons
 * @property {string[]} warnReasons
 * @property {number} rulesEvaluated
 * @property {boolean} policyError
 */

/**
 * What a tool is given beside its arguments.
 *
 * @typedef {object} ToolContext
 * @property {string} callId
 * @property {string} sessionId
 * @property {string} argsText the arguments that were judged, as JSON text
 */

export class Edictum {
  #guard;
  #given;
  #rulesets;
  #end;
  /** @type {import('./server/connect.js').Connected | undefined} */
  #connected;

  /**
   * Use `fromYaml` and its sisters.
   *
   * @param {Guard | NativeGuard} guard
   * @param {EdictumOptions} given
   * @param {Ruleset[]} rulesets
   * @param {() => Promise<void>} end
   * @param {import('./server/connect.js').Connected} [connected]
   */
  constructor(guard, given, rulesets, end, connected) {
    this.#guard = guard;
    this.#given = given;
    this.#rulesets = rulesets;
    this.#end = end;
    this.#connected = connected;
  }

  /**
   * Rulesets from files, each laid over those before it.
   *
   * @param {string | URL | (string | URL)[]} paths
   * @param {EdictumOptions} [options]
   */
  static async fromYaml(paths, options = {}) {
    return Edictum.#open(await Promise.all([paths].flat().map(readDocument)), options);
  }

  /**
   * @param {string | Uint8Array} content YAML
   * @param {EdictumOptions} [options]
   */
  static async fromYamlString(content, options = {}) {
    return Edictum.#open([{ name: 'ruleset', text: textOf(content, 'the ruleset') }], options);
  }

  /**
   * A ruleset that comes with the engine, or lies as `NAME.yaml` in one of `templateDirs`.
   *
   * @param {string} name
   * @param {EdictumOptions & {templateDirs?: string[]}} [options]
   */
  static async fromTemplate(name, { templateDirs = [], ...options } = {}) {
    return Edictum.#open([await templateOf(await engine(), name, templateDirs)], options);
  }

  /**
   * A guard with the rules of several: of two rules with one id the first counts. Callbacks, store and identity are those of the
   * first; the others stay as they are.
   *
   * @param {Edictum[]} guards
   */
  static async fromMultiple(guards) {
    const [first, ...others] = guards;
    if (!first) throw new EdictumConfigError('bad-request', '`fromMultiple` needs at least one guard');
    const merge = others.map((other) => ({
      rulesets: other.#rulesets.map(({ name, text }) => ({ name, text })),
      options: JSON.parse(other.#guard.optionsText),
    }));
    const given = first.#given;
    const named = (/** @type {keyof EdictumOptions} */ what) =>
      Object.assign({}, ...[...guards].reverse().map((guard) => guard.#given[what]));
    return Edictum.#open(first.#rulesets, {
      ...given,
      customOperators: named('customOperators'),
      customSelectors: named('customSelectors'),
      options: { ...given.options, merge: [...(given.options?.merge ?? []), ...merge] },
    });
  }

  /**
   * Rules, sessions, approvals and the decision log of edictum-api. The guard has its first rules when this is done; without
   * `bundleName` the server assigns them, within 30 s.
   *
   * @param {import('./options.js').FromServerOptions} options
   */
  static async fromServer(options) {
    const { url, apiKey, agentId, env, bundleName, tags, mode, autoWatch, allowInsecure, ...local } = options;
    const { verifySignatures, signingPublicKey, signingPublicKeys, offlineStart, checkName, timeoutMs, apiGeneration, ...given } = local;
    const { auditSink = 'server', approvalBackend = 'server', storageBackend = 'server', onError, ...rest } = given;
    const own = {
      ...rest,
      auditSink: auditSink === 'server' || auditSink === 'none' ? undefined : auditSink,
      approvalBackend: approvalBackend === 'server' || approvalBackend === 'none' ? undefined : approvalBackend,
      storageBackend: storageBackend === 'server' ? undefined : storageBackend,
    };
    const keys = signingPublicKeys ?? (signingPublicKey === undefined ? [] : [signingPublicKey].flat());
    const server = {
      url, apiKey, agentId, env, bundleName, tags, mode, autoWatch, allowInsecure, verifySignatures,
      signingPublicKeys: keys, offlineStart, checkName, timeoutMs, apiGeneration,
    };
    /** @type {import('./server/connect.js').Choices} */
    const choices = {
      sessions: storageBackend === 'server' ? 'server' : 'host',
      approvals: approvalBackend === 'server' || approvalBackend === 'none' ? approvalBackend : 'host',
      log: auditSink === 'server' ? 'server' : 'host',
      onError: onError && ((/** @type {string} */ code, /** @type {string} */ message) => onError({ code, message })),
    };
    // Who is asked is the guard's to know, not the rules'.
    const asking = { ...own, options: { ...own.options, approvals: 'host' } };
    if (own.engine === 'native') return Edictum.#connectNative(server, asking, choices);
    const { guard: parts, end } = await prepared(asking);
    try {
      const connected = await connect(server, choices, parts);
      const all = async () => {
        await connected.log?.flush(LAST_FLUSH);
        await connected.end();
        await end();
      };
      return new Edictum(connected.guard, own, [], all, connected);
    } catch (error) {
      await end();
      throw configError(error);
    }
  }

  /**
   * @param {Ruleset[]} rulesets
   * @param {EdictumOptions} given
   */
  static async #open(rulesets, given) {
    const signatures = given.signature === undefined ? [] : [given.signature].flat();
    const signed = rulesets.map((ruleset, at) => ({ ...ruleset, signature: signatures[at] }));
    if (given.engine === 'native') return Edictum.#openNative(signed, given);
    const { guard, end } = await prepared(given);
    try {
      return new Edictum(await Guard.open({ ...guard, rulesets: signed }), given, signed, end);
    } catch (error) {
      await end();
      throw configError(error);
    }
  }

  /**
   * @param {Ruleset[]} rulesets
   * @param {EdictumOptions} given
   */
  static async #openNative(rulesets, given) {
    const parts = await preparedNative(given);
    const fields = { ...parts.fields, rulesets: rulesets.map(({ text, ...ruleset }) => ({ ...ruleset, yaml: text })) };
    try {
      return new Edictum(await NativeGuard.open({ ...parts, op: 'open', fields }), given, rulesets, async () => {});
    } catch (error) {
      throw configError(error);
    }
  }

  /**
   * The same for a server: everything is the library's, but for what the program keeps for itself.
   *
   * @param {import('./server/connect.js').ServerOptions} server
   * @param {EdictumOptions} own
   * @param {{approvals: string, log: string, sessions: string}} choices
   */
  static async #connectNative(server, own, choices) {
    const { offlineStart, checkName, timeoutMs, apiGeneration } = server;
    if ([offlineStart, checkName, timeoutMs, apiGeneration].some((option) => option !== undefined)) {
      const message = 'the engine `native` has no `offlineStart`, `checkName`, `timeoutMs`, `apiGeneration`';
      throw new EdictumConfigError('unsupported', message);
    }
    const parts = await preparedNative(own);
    const fields = {
      ...parts.fields,
      guard: own.name ?? server.agentId ?? 'default',
      url: server.url,
      api_key: server.apiKey,
      agent_id: server.agentId,
      env: server.env,
      bundle_name: server.bundleName,
      tags: server.tags,
      mode: server.mode,
      auto_watch: server.autoWatch,
      allow_insecure: server.allowInsecure,
      verify_signatures: server.verifySignatures,
      signing_public_keys: server.signingPublicKeys,
      exec_enabled: own.workflowExecEvaluatorEnabled,
      approvals: choices.approvals,
      decision_log: choices.log === 'server' ? 'server' : 'local',
      store: choices.sessions === 'server' ? 'server' : (parts.fields.store ?? 'memory'),
    };
    try {
      return new Edictum(await NativeGuard.open({ ...parts, op: 'open_server', fields }), own, [], async () => {});
    } catch (error) {
      throw configError(error);
    }
  }

  /** The revision of the rules in force: SHA-256, hex, as in the decision log. */
  get policyVersion() {
    return this.#guard.policyVersion;
  }

  /** The session of calls that name none. */
  get sessionId() {
    return this.#guard.sessionId;
  }

  /** Name, mode, rules, composition report and options of the rules in force. */
  get summary() {
    return camelCased(JSON.parse(this.#guard.summary));
  }

  /** What rulesets that were laid over one another overrode. */
  get report() {
    return this.summary.report;
  }

  /**
   * A dry run: counts nothing, logs nothing. With `output`, postconditions are judged too.
   *
   * @param {string} tool
   * @param {object | string | RawJson} args
   * @param {{principal?: object | null, output?: unknown, environment?: string}} [options]
   * @returns {Promise<EvaluationResult>}
   */
  async evaluate(tool, args, { output, ...options } = {}) {
    const { call } = callOf(tool, args, options);
    return camelCased(JSON.parse(await this.#guard.evaluate(call, output === undefined ? undefined : outputOf(output))));
  }

  /**
   * @param {{tool: string, args?: object | string | RawJson, principal?: object | null, output?: unknown, environment?: string}[]} calls
   * @returns {Promise<EvaluationResult[]>}
   */
  async evaluateBatch(calls) {
    const results = [];
    let since = performance.now();
    for (const { tool, args = {}, ...options } of calls) {
      results.push(await this.evaluate(tool, args, options));
      // Others have their turn, however many calls there are.
      if (performance.now() - since < TURN) continue;
      await new Promise(setImmediate);
      since = performance.now();
    }
    return results;
  }

  /**
   * Runs a tool, if it may. The tool is given the arguments that were judged; what it returns is judged too, and comes back as
   * far as the agent may see it.
   *
   * @template T
   * @param {string} tool
   * @param {object | string | RawJson} args values, or JSON text
   * @param {(args: any, context: ToolContext) => T | Promise<T>} fn
   * @param {CallOptions} [options]
   * @returns {Promise<T>} throws `EdictumDenied`, `EdictumToolError`
   */
  async run(tool, args, fn, options = {}) {
    const { call, given } = callOf(tool, args, options);
    const callId = options.callId ?? randomUUID();
    const sessionId = options.sessionId ?? this.sessionId;
    const told = { tool, args: given.value, callId, sessionId };
    let decision = await this.#guard.begin({ call, callId, sessionId, parentSessionId: options.parentSessionId });
    while (decision.action === 'ask') decision = await this.#approval(decision);
    if (!decision.allowed) {
      await this.#tell(this.#given.onBlock, told, decision.reason, decision.name || null);
      throw new EdictumDenied(decision);
    }
    await this.#tell(this.#given.onAllow, told);
    return this.#finished(callId, () => fn(given.value, { callId, sessionId, argsText: given.text }));
  }

  /**
   * @template T
   * @param {string} callId
   * @param {() => T | Promise<T>} work
   * @returns {Promise<T>}
   */
  async #finished(callId, work) {
    /** @type {any} */
    let output;
    /** @type {{thrown: unknown} | undefined} */
    let failure;
    try {
      output = await work();
    } catch (error) {
      failure = { thrown: error };
    }
    const text = failure ? JSON.stringify(messageOf(failure.thrown)) : outputOf(output);
    const conclusion = await this.#guard.finish(callId, { output: text, success: failure ? false : undefined });
    const { replacement } = conclusion;
    const result = replacement === undefined ? output : JSON.parse(replacement);
    if (conclusion.success) return result;
    const shown = replacement === undefined ? text : replacement;
    const value = JSON.parse(shown);
    const message = typeof value === 'string' ? value : shown;
    // The cause may say what the rules have redacted.
    const cause = failure && replacement === undefined ? { cause: failure.thrown } : undefined;
    throw new EdictumToolError(message, replacement === undefined && !failure ? output : value, conclusion, cause);
  }

  /**
   * Whoever answers first: the approval backend, somebody who settles the call, or its deadline.
   *
   * @param {Decision} decision
   * @returns {Promise<Decision>}
   */
  async #approval({ callId, approval }) {
    const settled = this.#guard.settled(callId);
    const backend = this.#given.approvalBackend;
    if (!backend) return settled;
    const asked = ask(backend, callId, approval ?? '{}').catch((error) => {
      log('error', `an approval cannot be asked for: ${messageOf(error)}`);
      return /** @type {const} */ ({ verdict: 'unreachable' });
    });
    const first = await Promise.race([settled, asked]);
    if ('action' in first) return first;
    try {
      return await this.#guard.settle(callId, first);
    } catch (error) {
      if (isGone(error)) return settled;
      throw error;
    } finally {
      settled.catch(() => {});
    }
  }

  /**
   * What a callback throws is its own affair.
   *
   * @template {any[]} A
   * @param {((...values: A) => unknown) | undefined} callback
   * @param {A} values
   */
  async #tell(callback, ...values) {
    try {
      await callback?.(...values);
    } catch (error) {
      log('error', `a callback failed: ${messageOf(error)}`);
    }
  }

  /**
   * Counts the attempt and decides, for programs that run the tool themselves. An allowed call stays open until `finish`; one
   * with `action: 'ask'` until `settle` or its deadline.
   *
   * @param {string} tool
   * @param {object | string | RawJson} args
   * @param {CallOptions} [options]
   */
  async begin(tool, args, options = {}) {
    const { call } = callOf(tool, args, options);
    const { callId, sessionId, parentSessionId } = options;
    return this.#guard.begin({ call, callId, sessionId, parentSessionId });
  }

  /**
   * Goes on with a call that was asked about.
   *
   * @param {string} callId
   * @param {'approved' | 'rejected' | 'timed_out'} outcome
   * @param {{approver?: string, reason?: string}} [by]
   */
  async settle(callId, outcome, by = {}) {
    return this.#guard.settle(callId, { verdict: outcome, approver: by.approver, reason: by.reason });
  }

  /**
   * Waits until a call that was asked about is settled.
   *
   * @param {string} callId
   */
  async settled(callId) {
    return this.#guard.settled(callId);
  }

  /**
   * Judges what a tool returned, and ends the call. `result` is what the agent may see.
   *
   * @param {string} callId
   * @param {unknown} output a value, or `RawJson`
   * @param {{success?: boolean}} [options] absent: the success check, or the success heuristic, decides
   */
  async finish(callId, output, { success } = {}) {
    const conclusion = await this.#guard.finish(callId, { output: outputOf(output), success });
    const { replacement } = conclusion;
    return { conclusion, result: replacement === undefined ? output : JSON.parse(replacement) };
  }

  /**
   * Whose calls they are when nothing else says so. For later calls.
   *
   * @param {object | null} principal
   */
  setPrincipal(principal) {
    this.#guard.setPrincipal(principal === null ? undefined : jsonOf(principal, 'principal'));
  }

  /**
   * Exchanges the ruleset. When the new one does not load, the old one stays, and the error has all findings.
   *
   * @param {string | Uint8Array} content YAML
   * @param {{signature?: string}} [options]
   * @returns {Promise<string>} the revision in force
   */
  async reload(content, { signature } = {}) {
    const name = this.#rulesets[0]?.name ?? 'ruleset';
    const rulesets = [{ name, text: textOf(content, 'the ruleset'), signature }];
    try {
      const revision = await this.#guard.reload(rulesets);
      this.#rulesets = rulesets;
      return revision;
    } catch (error) {
      throw configError(error);
    }
  }

  /**
   * Counters of a session; `set` changes them.
   *
   * @param {string} [sessionId]
   * @param {Record<string, number>} [set]
   */
  async counters(sessionId = this.sessionId, set) {
    const state = JSON.parse(await this.#guard.operate(sessionId, jsonOf({ do: 'counters', set })));
    return /** @type {{attempts: number, execs: number, consec_fail: number, tools: Record<string, number>}} */ (state);
  }

  /**
   * The workflow of a session: where it stands (`state`), or a change of that.
   *
   * @param {'state' | 'reset' | 'set_stage' | 'approve' | 'load'} [operation]
   * @param {{sessionId?: string, stageId?: string, state?: object}} [options]
   * @returns {Promise<any>} the state, as it is stored
   */
  async workflow(operation = 'state', { sessionId = this.sessionId, stageId, state } = {}) {
    return JSON.parse(await this.#guard.operate(sessionId, jsonOf({ do: operation, stage_id: stageId, state })));
  }

  /** How it is doing: which rules it enforces and how old they are, whether the stream is up, whether the log gets out. */
  async health() {
    if (this.#guard instanceof NativeGuard) return camelCased(JSON.parse(await this.#guard.request('health')));
    const local = { policy_version: this.policyVersion, stream: 'off', log: 'off', unsent_events: 0, rules_age_s: 0, from_memory: false };
    return camelCased(this.#connected ? await healthOf(this.#connected) : local);
  }

  /**
   * Lets the decision log be delivered to the server now, and gives the number of events that are left.
   *
   * @param {{timeoutMs?: number}} [options]
   */
  async flush({ timeoutMs = 10_000 } = {}) {
    if (this.#guard instanceof NativeGuard) {
      return JSON.parse(await this.#guard.request('flush', { timeout_ms: timeoutMs })).unsent_events;
    }
    return this.#connected?.log?.flush(timeoutMs) ?? 0;
  }

  /** Fetches the rules of a server-backed guard now, and gives the revision in force. Of use without `autoWatch`. */
  async refresh() {
    if (!this.#connected) throw new EdictumError('unsupported', 'this guard has no server');
    return (await this.#connected.source.refresh()).revision;
  }

  /** Calls between two of their steps, those that end first at the front. */
  async openCalls(limit = 100) {
    const open = await this.#guard.openCalls(limit);
    return open.map(({ callId, session, state, deadline, approval }) => {
      return { callId, sessionId: session, state, deadline, approval: approval ? camelCased(JSON.parse(approval)) : null };
    });
  }

  /** Ends the guard. Open calls stay in the store. */
  async close() {
    if (this.#guard.closed) return;
    await this.#guard.close();
    await this.#end();
  }

  async [Symbol.asyncDispose]() {
    await this.close();
  }
}

/**
 * @param {string} tool
 * @param {object | string | RawJson} args
 * @param {CallOptions} options
 */
function callOf(tool, args, { environment, principal, metadata, toolUseId, parentCallId, callIndex }) {
  if (typeof tool !== 'string') throw new EdictumError('bad-request', '`tool` must be a string');
  const given = argumentsOf(args);
  const more = jsonOf({
    environment,
    principal,
    metadata,
    tool_use_id: toolUseId,
    parent_call_id: parentCallId,
    call_index: callIndex,
  });
  const rest = more === '{}' ? '}' : `,${more.slice(1)}`;
  return { given, call: `{"tool":${JSON.stringify(tool)},"args":${given.text}${rest}` };
}

/** @param {unknown} error */
function configError(error) {
  if (!(error instanceof EdictumError) || error instanceof EdictumConfigError) return error;
  return new EdictumConfigError(error.code, error.message);
}
