/**
 * A guard: an identity, a policy, a store and somebody to answer for it. It asks the engine about calls, keeps them while they
 * are open, and closes what nobody came back for. Calls and outputs are JSON texts here; who has values uses `Edictum`.
 *
 * | file | what |
 * |---|---|
 * | `guard/recipe.js` | how its rules are loaded |
 * | `guard/step.js` | the loop: step, answer what is asked, step again |
 * | `guard/open-calls.js` | calls between two steps: the store, claims, copies |
 * | `guard/due.js` | deadlines of open calls |
 * | `guard/waiters.js` | who waits for a person's answer |
 * | `guard/journal.js` | the decision log |
 */

import { randomUUID } from 'node:crypto';

import { bare, splice } from './call.js';
import { now } from './clock.js';
import {
  Conclusion, FAILED_EVALUATION, concluded, decided, faulted, fixedBlock, fixedConclusion,
} from './decision.js';
import { engine as sharedEngine } from './engine.js';
import { EdictumError, messageOf, refused } from './errors.js';
import { Due } from './guard/due.js';
import { Journal } from './guard/journal.js';
import { OpenCalls, isGone, notAsking, taken, unknown } from './guard/open-calls.js';
import { after, load, optionsOf } from './guard/recipe.js';
import { Failed, drive } from './guard/step.js';
import { Waiters } from './guard/waiters.js';
import { elements, fields } from './json.js';
import { log } from './log.js';
import { MemoryStore } from './store/memory.js';
import { Turns } from './turns.js';
import { alive } from './wait.js';

/** Longest id of a call, in bytes. */
export const MAX_CALL_ID = 1024;

/** How long a person has when the engine does not say, in milliseconds. */
const APPROVAL = 300_000;

/** So many calls that their deadline has settled are remembered: an answer may still be on its way. */
const EXPIRED = 256;

/** Open calls that are read together. */
const MANY = 100_000;

/** Sessions are a store's, whichever guards use it. @type {WeakMap<object, Turns>} */
const turns = new WeakMap();

/** @typedef {import('./store.js').OpenCall} OpenCall */
/** @typedef {import('./policy.js').Policy} Policy */
/** @typedef {import('./decision.js').Decision} Decision */
/** @typedef {import('./decision.js').Kept} Kept */
/** @typedef {import('./decision.js').ToolOutcome} ToolOutcome */
/** @typedef {import('./errors.js').Abnormal['fault']} Fault */

/**
 * @typedef {object} ApprovalOutcome
 * @property {'approved' | 'rejected' | 'timed_out' | 'unreachable'} verdict
 * @property {string | null} [approval_id]
 * @property {string | null} [approver]
 * @property {string | null} [reason]
 * @property {string | null} [decided_at]
 * @property {string | null} [decided_via]
 */

/**
 * @typedef {object} GuardOptions
 * @property {string} [name] what open calls in a store belong to: a guard of the same name goes on with them
 * @property {import('./guard/recipe.js').Ruleset[]} rulesets laid over one another left to right
 * @property {{name: string, text: string}} [workflow]
 * @property {Record<string, any>} [options] the options document (`wit/schemas/options.schema.json`)
 * @property {import('./callbacks.js').Callbacks} [callbacks]
 * @property {string} [agentId]
 * @property {string} [principal] JSON object
 * @property {string} [sessionId] of calls that name none; default: a new one
 * @property {import('./store.js').Store} [store] default: in memory
 * @property {import('./events.js').EventSink} [sink] where the decision log goes; default: nowhere
 * @property {number} [callbackDeadline] milliseconds; default 30,000
 * @property {import('./engine.js').Engine} [engine] default: that of the process
 * @property {Sessions} [sessions] where the state of sessions is, instead of the store
 * @property {People | 'nobody'} [people] who is asked about an `ask`; absent: whoever calls `settle`
 * @property {string} [ownRules] why the rules cannot be exchanged by `reload`
 */

/**
 * The state of sessions, apart from open calls.
 *
 * @typedef {object} Sessions
 * @property {(operations: import('./store.js').Operation[]) => Promise<import('./store.js').Outcome[]>} perform
 */

/**
 * Who asks people for a guard.
 *
 * @typedef {object} People
 * @property {(guard: Guard, callId: string, approval: string) => void} submit
 * @property {(guard: Guard, callId: string, approval: string) => void} forget
 * @property {number} grace milliseconds that a call waits longer than its deadline
 */

export class Guard {
  #engine;
  #recipe;
  #policy;
  #principal;
  #callbackDeadline;
  #turns;
  #sessions;
  #people;
  #ownRules;
  #due;
  #closed = false;
  #calls;
  #journal;
  #waiters = new Waiters();
  /** @type {Decision[]} */
  #expired = [];

  /**
   * @param {GuardOptions} given
   * @param {import('./engine.js').Engine} engine
   * @param {import('./guard/recipe.js').Recipe} recipe
   * @param {Policy} policy
   */
  constructor(given, engine, recipe, policy) {
    this.#engine = engine;
    this.#recipe = recipe;
    this.#policy = policy;
    this.#callbackDeadline = given.callbackDeadline ?? 30_000;
    this.name = given.name ?? 'guard';
    this.agentId = given.agentId;
    this.sessionId = given.sessionId ?? randomUUID();
    this.store = given.store ?? new MemoryStore();
    this.#calls = new OpenCalls(this.name, this.store);
    this.#journal = new Journal(this.name, given.sink);
    this.#principal = given.principal === undefined ? undefined : checkedPrincipal(given.principal);
    this.#sessions = given.sessions;
    this.#people = given.people;
    this.#ownRules = given.ownRules;
    const shared = given.sessions ?? this.store;
    this.#turns = turns.get(shared) ?? new Turns();
    turns.set(shared, this.#turns);
    this.#due = new Due({
      name: this.name,
      store: this.store,
      closeDue: (callId) => this.#closeDue(callId),
      closeCopies: (moment) => this.#closeCopies(moment),
    });
  }

  /**
   * Loads the rules and makes the guard. Open calls of an earlier guard of this name go on.
   *
   * @param {GuardOptions} given
   */
  static async open(given) {
    const engine = given.engine ?? (await sharedEngine());
    const callbacks = given.callbacks ?? {};
    const recipe = { workflow: given.workflow, options: optionsOf(given.options ?? {}, callbacks), callbacks };
    if (given.principal !== undefined) checkedPrincipal(given.principal);
    const policy = await load(engine, given.rulesets, recipe);
    const guard = new Guard(given, engine, recipe, policy);
    await guard.#due.armFromStore();
    await guard.#goOnAsking();
    return guard;
  }

  /** People may have been asked before this process began. */
  async #goOnAsking() {
    if (!this.#people || this.#people === 'nobody') return;
    for (const { callId, state, approval } of await this.#calls.list(MANY)) {
      if (state === 'asking' && approval !== null) this.#people.submit(this, callId, approval);
    }
  }

  /** The revision of the rules in force: SHA-256, hex, as in the decision log. */
  get policyVersion() {
    return this.#policy.revision;
  }

  /** Name, mode, rules, composition report and options of the rules in force; JSON text. */
  get summary() {
    return this.#policy.summary;
  }

  /** The options document that the rules in force were loaded with; JSON text. */
  get optionsText() {
    return this.#policy.source.options;
  }

  get closed() {
    return this.#closed;
  }

  /**
   * Whose calls they are when neither the call nor a resolver says so: JSON object, or nobody. For later calls.
   *
   * @param {string | undefined} principal
   */
  setPrincipal(principal) {
    this.#principal = principal === undefined ? undefined : checkedPrincipal(principal);
  }

  /**
   * Exchanges the rulesets; options, workflow and callbacks stay. Steps that run end under the old rules. Open calls go on
   * under the new ones. When the new rules do not load, the old ones stay.
   *
   * @param {import('./guard/recipe.js').Ruleset[]} rulesets
   */
  async reload(rulesets) {
    this.#checkOpen();
    if (this.#ownRules !== undefined) throw new EdictumError('conflict', this.#ownRules);
    (await this.prepare(rulesets))();
    return this.#policy.revision;
  }

  /**
   * Makes other rulesets ready. What it gives puts them in force, at once.
   *
   * @param {import('./guard/recipe.js').Ruleset[]} rulesets
   */
  async prepare(rulesets) {
    const policy = await load(this.#engine, rulesets, after(this.#recipe, this.#policy));
    return () => {
      if (this.#closed) return this.#engine.release(policy);
      this.#engine.release(this.#policy);
      this.#policy = policy;
    };
  }

  /**
   * What would happen to a call (and to its output): a dry run that counts nothing. JSON texts in, JSON text out.
   *
   * @param {string} call
   * @param {string} [output]
   */
  async evaluate(call, output) {
    this.#checkOpen();
    const text = this.#callText({ call });
    const again = output === undefined ? `"call":${text}` : `"call":${text},"output":${output}`;
    const policy = this.#policy;
    try {
      return await drive(this.#scene(policy, '', again, text), 'step', 'evaluate', `{${again}}`);
    } catch (error) {
      if (error instanceof Failed) return FAILED_EVALUATION;
      throw error;
    }
  }

  /**
   * Counts the attempt and decides. An allowed call stays open until `finish`, one that is asked about until `settle` or its
   * deadline. Whatever goes wrong is a block; an error means that nothing was decided, and the call must not run.
   *
   * @param {import('./call.js').CallRequest} request
   * @returns {Promise<Decision>}
   */
  async begin(request) {
    this.#checkOpen();
    const { callId = randomUUID(), sessionId = this.sessionId } = request;
    if (callId === '' || Buffer.byteLength(callId) > MAX_CALL_ID) {
      throw new EdictumError('bad-request', `\`call_id\` must have 1 to ${MAX_CALL_ID} bytes`);
    }
    const call = this.#callText({ ...request, callId, sessionId });
    return this.#turns.take(sessionId, async () => {
      if (request.callId !== undefined && (await this.#calls.has(callId))) throw taken(callId);
      const policy = this.#policy;
      const again = `"call":${call},"now":${now()}`;
      const scene = this.#scene(policy, sessionId, again, call);
      const [decision, kept] = await this.#decided(scene, callId, call, 'begin', `{${again}}`);
      return this.#keepNew(policy, sessionId, decision, kept);
    }).then((decision) => this.#ask(decision));
  }

  /**
   * Passes an `ask` on to whoever asks people. Where nobody does, the call is blocked now.
   *
   * @param {Decision} decision
   * @returns {Promise<Decision> | Decision}
   */
  #ask(decision) {
    const { action, callId, approval } = decision;
    if (action !== 'ask' || !this.#people) return decision;
    if (this.#people === 'nobody') return this.#settle(callId, { verdict: 'unreachable' });
    if (approval !== undefined) this.#people.submit(this, callId, approval);
    return decision;
  }

  /**
   * What a server says to an `ask`; it was said at this moment.
   *
   * @param {string} callId
   * @param {ApprovalOutcome} outcome
   * @param {number} at
   */
  async settleAt(callId, outcome, at) {
    this.#checkOpen();
    return this.#settle(callId, outcome, at);
  }

  /**
   * Goes on with a call that was asked about. It is judged again under the rules in force now. An answer that comes after the
   * deadline gets what the deadline has decided.
   *
   * @param {string} callId
   * @param {ApprovalOutcome} outcome
   * @returns {Promise<Decision>}
   */
  async settle(callId, outcome) {
    this.#checkOpen();
    try {
      return await this.#settle(callId, outcome);
    } catch (error) {
      const expired = isGone(error) && this.#expired.find((decision) => decision.callId === callId);
      if (expired) return expired;
      throw error;
    }
  }

  /**
   * @param {string} callId
   * @param {ApprovalOutcome} outcome
   * @param {number} [moment] when the answer was given
   * @returns {Promise<Decision>}
   */
  async #settle(callId, outcome, moment) {
    const found = await this.#calls.find(callId);
    if (!found) throw unknown(callId);
    const settled = await this.#turns.take(found.session, async () => {
      const { open, claim } = await this.#calls.claim(callId, 'asking');
      const policy = this.#policy;
      const again = `"call":${open.call},"now":${moment ?? now()}`;
      const scene = { ...this.#scene(policy, open.session, again, open.call), ticket: open.ticket };
      const request = `{${again},"ticket":${open.ticket},"approval":${JSON.stringify(outcome)}}`;
      const [decision, kept] = await this.#decided(scene, callId, open.call, 'settle', request);
      return this.#keepSettled(policy, open, claim, decision, kept);
    });
    if (this.#people && this.#people !== 'nobody' && found.approval !== null) {
      this.#people.forget(this, callId, found.approval);
    }
    const decision = await this.#ask(settled);
    if (decision.action !== 'ask') this.#waiters.tell(decision);
    return decision;
  }

  /**
   * Waits until a call that was asked about is settled, by whomever in this process, and gives the final decision.
   *
   * @param {string} callId
   * @returns {Promise<Decision>}
   */
  async settled(callId) {
    const waiter = this.#waiters.wait(callId);
    try {
      const found = await this.#calls.find(callId);
      if (!waiter.told) {
        this.#checkOpen();
        if (!found) throw unknown(callId);
        if (found.state !== 'asking') throw notAsking(callId);
      }
      return await alive(waiter.decision);
    } finally {
      this.#waiters.leave(callId, waiter);
    }
  }

  /**
   * Judges what a tool returned, by the rules in force now, and ends the call. An error means that the output must not be used.
   *
   * @param {string} callId
   * @param {ToolOutcome} outcome
   * @returns {Promise<Conclusion>}
   */
  async finish(callId, outcome) {
    this.#checkOpen();
    // A call that began here has its session here; the claim below reads it from the store in any case.
    let session = this.#calls.session(callId);
    if (session === undefined) {
      let found;
      try {
        found = await this.#calls.find(callId);
      } catch (error) {
        return this.#finishLost(callId, error);
      }
      if (!found) return this.#finishStranded(callId, outcome);
      session = found.session;
    }
    return this.#turns.take(session, async () => {
      let claimed;
      try {
        claimed = await this.#calls.claim(callId, 'allowed');
      } catch (error) {
        if (!(error instanceof EdictumError) || error.code === 'unavailable') return this.#finishLost(callId, error);
        throw error;
      }
      const conclusion = await this.#conclude(claimed.open, outcome);
      await this.#calls.forget(callId, claimed.claim);
      return conclusion;
    });
  }

  /**
   * Reads or changes the counters of a session, or its workflow: `{"do": "counters", "set"?: {…}}`, … Gives the state after it.
   *
   * @param {string} sessionId
   * @param {string} command JSON object
   */
  async operate(sessionId, command) {
    this.#checkOpen();
    const withId = splice(command, [['id', JSON.stringify(randomUUID())]]);
    return this.#turns.take(sessionId, async () => {
      const policy = this.#policy;
      const moment = now();
      let done;
      try {
        const scene = this.#scene(policy, sessionId, `"now":${moment}`);
        done = fields(await drive(scene, 'operate', sessionId, withId, moment));
      } catch (error) {
        if (error instanceof Failed) throw new EdictumError('internal', `the engine failed: ${error.abnormal.fault}`);
        throw error;
      }
      if (done.err !== undefined) throw refused(JSON.parse(done.err));
      const { state = 'null', events = '[]' } = fields(done.ok ?? '{}');
      await this.#journal.keep(elements(events));
      return state;
    });
  }

  /**
   * Open calls, those that end first at the front.
   *
   * @param {number} limit
   */
  async openCalls(limit) {
    return this.#calls.list(limit);
  }

  /** Does what is due now, instead of when its timer gets to it. */
  async runDue() {
    if (!this.#closed) await this.#due.run();
  }

  /** Ends the guard. Open calls stay in the store; who waits for a person is told that the guard is closed. */
  async close() {
    if (this.#closed) return;
    this.#closed = true;
    this.#due.end();
    this.#waiters.end();
    this.#engine.release(this.#policy);
    await this.#journal.close();
  }

  #checkOpen() {
    if (this.#closed) throw new EdictumError('closed', 'the guard is closed');
  }

  /**
   * The text that the engine gets.
   *
   * @param {import('./call.js').CallRequest} request
   */
  #callText({ call, sessionId, callId, parentSessionId }) {
    return splice(call, [
      ['session_id', text(sessionId)],
      ['call_id', text(callId)],
      ['parent_session_id', text(parentSessionId)],
      ['agent_id', text(this.agentId)],
      ['static_principal', this.#principal],
    ]);
  }

  /**
   * @param {Policy} policy
   * @param {string} session
   * @param {string} again
   * @param {string} [call]
   * @returns {import('./guard/step.js').Scene}
   */
  #scene(policy, session, again, call) {
    const { sessionTtl, cwd } = policy.settings;
    const respondent = {
      callbacks: this.#recipe.callbacks,
      deadline: this.#callbackDeadline,
      store: this.store,
      sessions: this.#sessions,
      session,
      sessionTtl,
      now: now(),
      call,
      cwd,
    };
    return { engine: this.#engine, policy, guard: this.name, respondent, again };
  }

  /**
   * What the engine decided; or what it says to a step that failed.
   *
   * @param {import('./guard/step.js').Scene} scene
   * @param {string} callId
   * @param {string} call
   * @param {'begin' | 'settle'} step
   * @param {string} request
   * @returns {Promise<[Decision, Kept]>}
   */
  async #decided(scene, callId, call, step, request) {
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
      log('error', `guard ${this.name}: a fault cannot be logged: ${messageOf(error)}`);
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
  async #keepNew(policy, session, decision, kept) {
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
  async #keepSettled(policy, before, claim, decision, kept) {
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
    log('error', `guard ${this.name}: an open call cannot be kept: ${messageOf(error)}`);
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
    return { guard: this.name, callId, session, call, ticket, approval, state, deadline };
  }

  /**
   * A call that observation let through although the store had failed.
   *
   * @param {string} callId
   * @param {ToolOutcome} outcome
   */
  async #finishStranded(callId, outcome) {
    const copy = this.#calls.takeCopy(callId);
    if (!copy?.stranded) throw unknown(callId);
    return this.#turns.take(copy.open.session, () => this.#conclude(copy.open, outcome));
  }

  /**
   * The store is gone. The tool has run, so this goes into the log, by the copy that we kept.
   *
   * @param {string} callId
   * @param {unknown} error
   */
  async #finishLost(callId, error) {
    log('error', `guard ${this.name}: an open call cannot be read: ${messageOf(error)}`);
    const copy = this.#calls.takeCopy(callId);
    if (!copy) throw error;
    return this.#faultFinish(copy.open, copy.open.ticket, 'store');
  }

  /**
   * @param {OpenCall} open
   * @param {ToolOutcome} outcome
   */
  async #conclude(open, outcome) {
    const policy = this.#policy;
    const success = outcome.success === undefined ? '' : `,"success":${outcome.success}`;
    const again = `"call":${open.call},"outcome":{"output":${outcome.output}${success}},"now":${now()}`;
    const scene = { ...this.#scene(policy, open.session, again, open.call), ticket: open.ticket };
    try {
      const request = `{${again},"ticket":${open.ticket}}`;
      const done = await drive(scene, 'step', 'finish', request);
      return this.#logConclusion(...concluded(done));
    } catch (error) {
      if (!(error instanceof Failed)) throw error;
      return this.#faultFinish(open, error.ticket ?? open.ticket, error.abnormal.fault);
    }
  }

  /**
   * What another instance says to a call that cannot be finished; without one, its output is suppressed in every mode.
   *
   * @param {OpenCall} open
   * @param {string} ticket
   * @param {Fault} fault
   */
  async #faultFinish(open, ticket, fault) {
    const policy = this.#policy;
    let said;
    try {
      said = await this.#engine.decide(policy, 'faultFinish', open.call, ticket, fault, now());
    } catch (error) {
      log('error', `guard ${this.name}: a fault cannot be logged: ${messageOf(error)}`);
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

  get #grace() {
    return this.#people && this.#people !== 'nobody' ? this.#people.grace : 0;
  }

  /** @param {string} callId */
  async #closeDue(callId) {
    const open = await this.#calls.find(callId);
    if (!open) return;
    if (open.state === 'asking') {
      const decision = await this.#settle(callId, { verdict: 'timed_out' });
      this.#expired.unshift(decision);
      this.#expired.length = Math.min(this.#expired.length, EXPIRED);
      return;
    }
    await this.#turns.take(open.session, async () => {
      const { open, claim } = await this.#calls.claim(callId, 'allowed');
      await this.#faultFinish(open, open.ticket, 'abandoned');
      await this.#calls.forget(callId, claim);
    });
  }

  /**
   * Calls that never were in the store are closed by their copies.
   *
   * @param {number} moment
   */
  async #closeCopies(moment) {
    for (const open of this.#calls.takeStranded(moment)) await this.#faultFinish(open, open.ticket, 'abandoned');
  }
}

/** @param {string | undefined} value */
function text(value) {
  return value === undefined ? undefined : JSON.stringify(value);
}

/**
 * A principal goes into call texts as it is: it must be one JSON object.
 *
 * @param {string} principal
 */
function checkedPrincipal(principal) {
  try {
    const value = JSON.parse(principal);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return principal.trim();
  } catch {
    // The parser's words may quote the text.
  }
  throw new EdictumError('bad-request', '`principal` must be a JSON object');
}
