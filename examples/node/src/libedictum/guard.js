/**
 * A guard of libedictum, with the same face as `Guard`: the reference host in this process. Stores, timers, links, commands and the
 * connection to a server are the library's; what the program answers for itself it is asked on this thread.
 */

import { randomUUID } from 'node:crypto';

import { Conclusion, Decision, fixedBlock } from '../decision.js';
import { EdictumConfigError, EdictumError, messageOf } from '../errors.js';
import { log } from '../log.js';
import { native } from './library.js';
import { ask, entriesOf } from './questions.js';

/** @typedef {import('./library.js').Answer} Answer */
/** @typedef {import('./library.js').Addon} Addon */

/**
 * @typedef {object} NativeOptions
 * @property {'open' | 'open_server'} op
 * @property {Record<string, any>} fields of that operation (docs/driver.md)
 * @property {import('../callbacks.js').Callbacks} [callbacks]
 * @property {string} [agentId]
 * @property {string} [principal] JSON object
 * @property {string} [sessionId]
 * @property {import('../events.js').EventSink} [sink]
 * @property {number} [callbackDeadline]
 */

const OK = 0;

const ACTIONS = /** @type {const} */ (['block', 'allow', 'ask']);

const OBSERVED = 1;
const POLICY_ERROR = 2;
const SUCCESS = 4;
const PASSED = 8;

export class NativeGuard {
  #addon;
  #guard;
  #sink;
  #required;
  #keeping;
  #closed = false;

  /**
   * @param {Addon} addon
   * @param {object} guard
   * @param {NativeOptions & {sessionId: string}} given
   * @param {Keeping} keeping
   */
  constructor(addon, guard, { fields, sessionId, sink, agentId }, keeping) {
    this.#addon = addon;
    this.#guard = guard;
    this.#sink = sink;
    this.#required = fields.options?.decision_log_required === true;
    this.#keeping = keeping;
    this.name = fields.guard;
    this.agentId = agentId;
    this.sessionId = sessionId;
    /** The options document that it was opened with; JSON text. */
    this.optionsText = JSON.stringify(fields.options ?? {});
  }

  /** @param {NativeOptions} given */
  static async open(given) {
    const { addon, host } = await native();
    const { op, fields, callbacks = {}, sink, callbackDeadline = 30_000, agentId } = given;
    const sessionId = given.sessionId ?? randomUUID();
    const entries = [...entriesOf(callbacks), /** @type {[string, string]} */ (['session_id', sessionId])];
    if (agentId !== undefined && op === 'open') entries.push(['agent_id', agentId]);
    if (sink) entries.push(['sink']);
    const keeping = new Keeping(fields.guard, sink);
    /** @type {import('./library.js').Listener} */
    const listener = async (text, about, reply) => {
      if (about === 'sink') return keeping.keep(text);
      if (!reply) return;
      const said = await ask(callbacks, callbackDeadline, about, JSON.parse(text));
      if (said.startsWith('{"ok":')) addon.reply(reply, said.slice('{"ok":'.length, -1));
      else addon.reply(reply, undefined, JSON.parse(said).err);
    };
    const answer = good(await addon.guardOpen(host, op, JSON.stringify(fields), entries, listener));
    if (!answer.guard) throw new EdictumError('internal', 'the library gave no guard');
    const guard = new NativeGuard(addon, answer.guard, { ...given, sessionId }, keeping);
    if (given.principal !== undefined) guard.setPrincipal(given.principal);
    return guard;
  }

  get closed() {
    return this.#closed;
  }

  get policyVersion() {
    return good(this.#addon.guardSummary(this.#guard)).name ?? '';
  }

  get summary() {
    return good(this.#addon.guardSummary(this.#guard)).text ?? '{}';
  }

  /** @param {string | undefined} principal */
  setPrincipal(principal) {
    good(this.#addon.guardSetPrincipal(this.#guard, principal));
  }

  /**
   * @param {string} op
   * @param {(string | number | undefined)[]} values
   */
  async #call(op, ...values) {
    if (this.#closed) throw new EdictumError('closed', 'the guard is closed');
    const answer = await this.#addon.guardCall(this.#guard, op, ...values);
    // Events come before the end of the operation that they are of.
    await this.#keeping.done();
    return good(answer);
  }

  /**
   * Where its events cannot be kept and must be, the call does not go on.
   *
   * @param {Answer} answer
   */
  async #kept(answer) {
    const decided = decision(answer);
    if (!this.#keeping.takeFailure() || !this.#required || decided.action === 'block') return decided;
    if (decided.allowed) await this.#call('finish', decided.callId, 'null', 0);
    else await this.#call('settle', decided.callId, '{"verdict":"unreachable"}');
    return fixedBlock(decided.callId, '{}')[0];
  }

  /**
   * An operation of the driver protocol.
   *
   * @param {string} op
   * @param {object} [fields]
   */
  async request(op, fields = {}) {
    return (await this.#call(op, JSON.stringify(fields))).text ?? 'null';
  }

  /** @param {import('../guard/recipe.js').Ruleset[]} rulesets */
  async reload([ruleset]) {
    const reloaded = JSON.parse(await this.request('reload', { yaml: ruleset?.text, signature: ruleset?.signature }));
    return reloaded.policy_version;
  }

  /**
   * @param {string} call
   * @param {string} [output]
   */
  async evaluate(call, output) {
    return (await this.#call('evaluate', call, output)).text ?? '{}';
  }

  /** @param {import('../call.js').CallRequest} request */
  async begin({ call, sessionId, callId, parentSessionId }) {
    return this.#kept(await this.#call('begin', call, sessionId ?? this.sessionId, callId, parentSessionId));
  }

  /**
   * @param {string} callId
   * @param {import('../guard.js').ApprovalOutcome} outcome
   */
  async settle(callId, outcome) {
    return this.#kept(await this.#call('settle', callId, JSON.stringify(outcome)));
  }

  /** @param {string} callId */
  async settled(callId) {
    return this.#kept(await this.#call('wait', callId));
  }

  /**
   * @param {string} callId
   * @param {import('../decision.js').ToolOutcome} outcome
   */
  async finish(callId, { output, success }) {
    const { flags, text = '{}', value, warnings = '[]' } = await this.#call('finish', callId, output, success === undefined ? -1 : Number(success));
    return new Conclusion({
      success: (flags & SUCCESS) !== 0,
      passed: (flags & PASSED) !== 0,
      replacement: value,
      warnings: JSON.parse(warnings),
      detail: text,
    });
  }

  /**
   * @param {string} sessionId
   * @param {string} command
   */
  async operate(sessionId, command) {
    const { do: operation, ...rest } = JSON.parse(command);
    if (operation === 'counters') return this.request('counters', { session_id: sessionId, ...rest });
    return this.request('workflow', { session_id: sessionId, do: operation, ...rest });
  }

  /** @returns {Promise<import('../store.js').OpenCall[]>} */
  async openCalls() {
    throw new EdictumError('unsupported', 'the engine `native` does not list open calls');
  }

  async close() {
    if (this.#closed) return;
    await this.request('close');
    this.#closed = true;
    await this.#sink?.close?.();
  }
}

/** Events on their way to a sink, one after another. */
class Keeping {
  #guard;
  #sink;
  /** @type {Promise<void>} */
  #last = Promise.resolve();
  #failed = false;

  /**
   * @param {string} guard
   * @param {import('../events.js').EventSink | undefined} sink
   */
  constructor(guard, sink) {
    this.#guard = guard;
    this.#sink = sink;
  }

  /** @param {string} event */
  keep(event) {
    this.#last = this.#last.then(() => this.#hand(event));
  }

  /** @param {string} event */
  async #hand(event) {
    try {
      await this.#sink?.keep([event]);
    } catch (error) {
      this.#failed = true;
      log('error', `guard ${this.#guard}: an event cannot be kept: ${messageOf(error)}`);
    }
  }

  /** When all that came so far is handed over. */
  done() {
    return this.#last;
  }

  /** Whether one could not be kept since the last time. */
  takeFailure() {
    const failed = this.#failed;
    this.#failed = false;
    return failed;
  }
}

/** @param {Answer} answer */
function decision({ action, flags, text = '{}', callId = '', reason = '', name = '', value }) {
  return new Decision(callId, {
    action: ACTIONS[action] ?? 'block',
    observed: (flags & OBSERVED) !== 0,
    policyError: (flags & POLICY_ERROR) !== 0,
    reason,
    name,
    detail: text,
    approval: value,
  });
}

/**
 * @param {Answer} answer
 * @returns {Answer}
 */
function good(answer) {
  if (answer.status === OK) return answer;
  const { code = 'internal', message = 'the library failed', diagnostics } = JSON.parse(answer.text ?? '{}');
  if (!diagnostics) throw new EdictumError(code, message);
  throw new EdictumConfigError(code, message, diagnostics.map((/** @type {any} */ { end_line: endLine, end_column: endColumn, ...found }) => ({ ...found, endLine, endColumn })));
}
