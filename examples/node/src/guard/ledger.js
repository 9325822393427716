/**
 * What comes of a step: kept and logged; or, where the step, the store or the log has failed, what the engine says to that. Nothing that
 * goes wrong here lets a call through, or hands on an output that was not judged, but for a guard that observes.
 */

import { bare } from '../call.js';
import { now } from '../clock.js';
import { Conclusion, concluded, decided, faulted, fixedBlock, fixedConclusion } from '../decision.js';
import { messageOf } from '../errors.js';
import { log } from '../log.js';
import { taken } from './open-calls.js';
import { Failed, drive } from './step.js';

/** How long a person has when the engine does not say, in milliseconds. */
const APPROVAL = 300_000;

/** @typedef {import('../decision.js').Decision} Decision */
/** @typedef {import('../decision.js').Kept} Kept */
/** @typedef {import('../errors.js').Abnormal['fault']} Fault */
/** @typedef {import('../policy.js').Policy} Policy */
/** @typedef {import('../store.js').OpenCall} OpenCall */

export class Ledger {
  #guard;
  #engine;
  #calls;
  #journal;
  #due;
  #grace;

  /**
   * @param {object} parts
   * @param {string} parts.guard its name
   * @param {import('../engine.js').Engine} parts.engine
   * @param {import('./open-calls.js').OpenCalls} parts.calls
   * @param {import('./journal.js').Journal} parts.journal
   * @param {import('./due.js').Due} parts.due
   * @param {number} parts.grace milliseconds that a call waits for people longer than its deadline
   */
  constructor({ guard, engine, calls, journal, due, grace }) {
    this.#guard = guard;
    this.#engine = engine;
    this.#calls = calls;
    this.#journal = journal;
    this.#due = due;
    this.#grace = grace;
  }

  /**
   * What the engine decided; or what it says to a step that failed.
   *
   * @param {import('./step.js').Scene} scene
   * @param {string} callId
   * @param {string} call
   * @param {'begin' | 'settle'} step
   * @param {string} request
   * @returns {Promise<[Decision, Kept]>}
   */
  async decided(scene, callId, call, step, request) {
    try {
      return decided(callId, call, await drive(scene, 'step', step, request));
    } catch (error) {
      if (!(error instanceof Failed)) throw error;
      return this.#fault(scene.policy, call, callId, error.ticket, error.abnormal.fault);
    }
  }

  /**
   * What another instance says to a fault. When the call itself is what it cannot stand, it is told of a bare one; without an
   * instance it is a block in every mode.
   *
   * @param {Policy} policy
   * @param {string} call
   * @param {string} callId
   * @param {string | undefined} ticket
   * @param {Fault} fault
   * @returns {Promise<[Decision, Kept]>}
   */
  async #fault(policy, call, callId, ticket, fault) {
    const attempt = async (/** @type {string} */ call, /** @type {string | undefined} */ ticket) => {
      const said = await this.#engine.decide(policy, 'fault', call, ticket, fault, now());
      return faulted(callId, call, said);
    };
    try {
      return await attempt(call, ticket);
    } catch {
      // The next instance is told less.
    }
    try {
      return await attempt(bare(call), undefined);
    } catch (error) {
      log('error', `guard ${this.#guard}: a fault cannot be logged: ${messageOf(error)}`);
      return fixedBlock(callId, call);
    }
  }

  /**
   * Puts a new call into the store, when it goes on, and its events into the log.
   *
   * @param {Policy} policy
   * @param {string} session
   * @param {Decision} decision
   * @param {Kept} kept
   */
  async keepNew(policy, session, decision, kept) {
    const open = this.#openCall(policy, session, decision, kept);
    if (!open) return this.#logDecision(policy, decision, kept);
    let written;
    try {
      written = await this.#calls.begin(open);
    } catch (error) {
      const [lost, faultKept] = await this.#lost(policy, open, error);
      // Only a guard that observes lets it through: then the copy is all there is.
      const stranded = this.#openCall(policy, session, lost, faultKept);
      if (stranded) {
        this.#calls.strand(stranded);
        this.#due.arm(stranded.deadline);
      }
      await this.#journal.keep(faultKept.events);
      return lost;
    }
    if (!written) throw taken(decision.callId);
    this.#due.arm(open.deadline);
    return this.#logDecision(policy, decision, kept, open);
  }

  /**
   * The same for a call that was in the store, under this claim.
   *
   * @param {Policy} policy
   * @param {OpenCall} before
   * @param {number} claim
   * @param {Decision} decision
   * @param {Kept} kept
   */
  async keepSettled(policy, before, claim, decision, kept) {
    const open = this.#openCall(policy, before.session, decision, kept);
    if (!open) {
      await this.#calls.forget(before.callId, claim);
      return this.#logDecision(policy, decision, kept);
    }
    try {
      await this.#calls.update(open, claim);
    } catch (error) {
      const [lost, faultKept] = await this.#lost(policy, open, error);
      await this.#journal.keep(faultKept.events);
      return lost;
    }
    this.#due.arm(open.deadline);
    return this.#logDecision(policy, decision, kept, open);
  }

  /**
   * @param {Policy} policy
   * @param {OpenCall} open
   * @param {unknown} error
   */
  #lost(policy, open, error) {
    log('error', `guard ${this.#guard}: an open call cannot be kept: ${messageOf(error)}`);
    return this.#fault(policy, open.call, open.callId, open.ticket, 'store');
  }

  /**
   * Hands the events on. Where they cannot be kept and must be, the call does not go on.
   *
   * @param {Policy} policy
   * @param {Decision} decision
   * @param {Kept} kept
   * @param {OpenCall} [open]
   * @returns {Promise<Decision>}
   */
  async #logDecision(policy, decision, kept, open) {
    this.#journal.notice(decision.detail);
    if (await this.#journal.keep(kept.events)) return decision;
    if (!policy.settings.decisionLogRequired || decision.action === 'block') return decision;
    const [blocked, faultKept] = await this.#fault(policy, kept.call, decision.callId, kept.ticket, 'decision-log');
    if (open && blocked.action === 'block') {
      try {
        const { claim } = await this.#calls.claim(open.callId, open.state);
        await this.#calls.forget(open.callId, claim);
      } catch {
        // It will be closed as abandoned.
      }
    }
    await this.#journal.keep(faultKept.events);
    return blocked;
  }

  /**
   * What has to be kept of a decision; null: the call is over.
   *
   * @param {Policy} policy
   * @param {string} session
   * @param {Decision} decision
   * @param {Kept} kept
   * @returns {OpenCall | null}
   */
  #openCall(policy, session, decision, { call, ticket }) {
    if (decision.action === 'block') return null;
    const asking = decision.action === 'ask';
    const deadline = asking
      ? (JSON.parse(decision.approval ?? '{}').deadline_ms ?? now() + APPROVAL) + this.#grace
      : now() + policy.settings.openCallTtl;
    const { callId, approval = null } = decision;
    const state = asking ? 'asking' : 'allowed';
    return { guard: this.#guard, callId, session, call, ticket, approval, state, deadline };
  }

  /**
   * The end of a call whose tool has run; or what the engine says to a step that failed.
   *
   * @param {import('./step.js').Scene} scene
   * @param {OpenCall} open
   * @param {string} request
   */
  async concluded(scene, open, request) {
    try {
      return this.#logConclusion(...concluded(await drive(scene, 'step', 'finish', request)));
    } catch (error) {
      if (!(error instanceof Failed)) throw error;
      return this.faultFinish(scene.policy, open, error.ticket ?? open.ticket, error.abnormal.fault);
    }
  }

  /**
   * What another instance says to a call that cannot be finished; without one, its output is suppressed in every mode.
   *
   * @param {Policy} policy
   * @param {OpenCall} open
   * @param {string} ticket
   * @param {Fault} fault
   */
  async faultFinish(policy, open, ticket, fault) {
    let said;
    try {
      said = await this.#engine.decide(policy, 'faultFinish', open.call, ticket, fault, now());
    } catch (error) {
      log('error', `guard ${this.#guard}: a fault cannot be logged: ${messageOf(error)}`);
      return fixedConclusion();
    }
    return this.#logConclusion(new Conclusion(said), said.events);
  }

  /**
   * @param {Conclusion} conclusion
   * @param {string[]} events
   */
  async #logConclusion(conclusion, events) {
    this.#journal.notice(conclusion.detail);
    await this.#journal.keep(events);
    return conclusion;
  }
}
