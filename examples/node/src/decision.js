/** What comes back from a step: the decision about a call, and its end. Texts of the engine's stay as they are. */

import { elements, fields } from './json.js';

/**
 * What is kept of a step and not shown.
 *
 * @typedef {object} Kept
 * @property {string} call the text that the ticket belongs to
 * @property {string} ticket
 * @property {string[]} events JSON each
 */

/** What happens to a call. Only `allow` lets it run. */
export class Decision {
  /** @type {Record<string, string | undefined> | undefined} */
  #members;

  /**
   * @param {string} callId
   * @param {object} said
   * @param {'allow' | 'block' | 'ask'} said.action
   * @param {boolean} said.observed
   * @param {boolean} said.policyError
   * @param {string} said.reason
   * @param {string} said.name
   * @param {string} said.detail
   * @param {string} [said.approval]
   */
  constructor(callId, said) {
    this.callId = callId;
    this.action = said.action;
    /** Allowed only because rules, or the guard, merely observe. */
    this.observed = said.observed;
    /** It comes from something broken, not from a rule. */
    this.policyError = said.policyError;
    /** What to tell the agent. Empty on a plain allow. */
    this.reason = said.reason;
    /** Rule id, limit, hook or stage. Empty on a plain allow. */
    this.name = said.name;
    /** JSON text: `decision_source`, `rules_evaluated`, `workflow`, … (`wit/schemas/decision.schema.json`) */
    this.detail = said.detail;
    /** With `ask`: what to ask a person, redacted; JSON text. */
    this.approval = said.approval;
  }

  get allowed() {
    return this.action === 'allow';
  }

  /**
   * A member of `detail`, as JSON text.
   *
   * @param {string} name
   */
  raw(name) {
    this.#members ??= fields(this.detail);
    return this.#members[name];
  }

  /** What decided: `yaml_precondition`, `attempt_limit`, … @returns {string | null} */
  get decisionSource() {
    return JSON.parse(this.raw('decision_source') ?? 'null');
  }

  /** @returns {string | null} */
  get decisionName() {
    return JSON.parse(this.raw('decision_name') ?? 'null');
  }
}

/**
 * A finished `begin` or `settle`.
 *
 * @param {string} callId
 * @param {string} call
 * @param {string} done JSON text of the engine's
 * @returns {[Decision, Kept]}
 */
export function decided(callId, call, done) {
  const said = fields(done);
  const decision = new Decision(callId, {
    action: JSON.parse(said.action ?? '"block"'),
    observed: said.observed === 'true',
    policyError: said.policy_error === 'true',
    reason: JSON.parse(said.reason ?? '""'),
    name: JSON.parse(said.name ?? '""'),
    detail: said.detail ?? '{}',
    approval: said.approval,
  });
  return [decision, { call, ticket: said.ticket ?? '{}', events: elements(said.events ?? '[]') }];
}

/**
 * What `fault` says, which comes typed.
 *
 * @param {string} callId
 * @param {string} call
 * @param {any} said
 * @returns {[Decision, Kept]}
 */
export function faulted(callId, call, said) {
  return [new Decision(callId, said), { call, ticket: said.ticket, events: said.events }];
}

/**
 * What the host says by itself when no instance can be had, in every mode.
 *
 * @param {string} callId
 * @param {string} call
 * @returns {[Decision, Kept]}
 */
export function fixedBlock(callId, call) {
  const decision = new Decision(callId, {
    action: 'block',
    observed: false,
    policyError: true,
    reason: 'The call could not be judged and was blocked.',
    name: 'host_fault',
    detail: '{"decision_source":"host","decision_name":"host_fault","rules_evaluated":[]}',
  });
  return [decision, { call, ticket: '{}', events: [] }];
}

/** What a dry run answers when its instance failed. */
export const FAILED_EVALUATION =
  '{"decision":"block","rules":[],"block_reasons":["The call could not be judged and was blocked."],' +
  '"warn_reasons":[],"rules_evaluated":0,"policy_error":true}';

/**
 * What a tool returned.
 *
 * @typedef {object} ToolOutcome
 * @property {string} output JSON text
 * @property {boolean} [success] absent: the success check, or the success heuristic, decides
 */

/** The end of a call. */
export class Conclusion {
  /** @type {Record<string, string | undefined> | undefined} */
  #members;

  /**
   * @param {object} said
   * @param {boolean} said.success
   * @param {boolean} said.passed
   * @param {string} [said.replacement]
   * @param {string[]} said.warnings
   * @param {string} said.detail
   */
  constructor(said) {
    /** Whether the tool succeeded. */
    this.success = said.success;
    /** Whether every enforced postcondition held. */
    this.passed = said.passed;
    /** What to hand to the agent instead of what the tool returned (JSON text). */
    this.replacement = said.replacement;
    /** For the agent. */
    this.warnings = said.warnings;
    /** JSON text: `redacted`, `suppressed`, `policy_error`, `rules_evaluated`, `findings`. */
    this.detail = said.detail;
  }

  /**
   * A member of `detail`, as JSON text.
   *
   * @param {string} name
   */
  raw(name) {
    this.#members ??= fields(this.detail);
    return this.#members[name];
  }
}

/**
 * A finished `finish`, and its events.
 *
 * @param {string} done
 * @returns {[Conclusion, string[]]}
 */
export function concluded(done) {
  const said = fields(done);
  const conclusion = new Conclusion({
    success: said.success === 'true',
    passed: said.passed === 'true',
    replacement: said.replacement,
    warnings: JSON.parse(said.warnings ?? '[]'),
    detail: said.detail ?? '{}',
  });
  return [conclusion, elements(said.events ?? '[]')];
}

/** What the host says by itself when no instance can be had, in every mode. */
export function fixedConclusion() {
  return new Conclusion({
    success: false,
    passed: false,
    replacement: '"[OUTPUT SUPPRESSED] The output could not be judged."',
    warnings: ['The output could not be judged and was suppressed.'],
    detail: '{"redacted":false,"suppressed":true,"policy_error":true,"rules_evaluated":[],"findings":[]}',
  });
}
