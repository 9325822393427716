/**
 * One instance of the component: the policies it holds, and what is left of it when a call goes wrong. It does one call at a
 * time, and after any abnormal end it is never used again. Who makes new ones is `engine.js`.
 *
 * All but loading is done in the text form: one text in, one text out.
 */

import { instance } from './component.js';
import { Abnormal, messageOf, refused } from './errors.js';

/** Rules that are compiled in one entry into the instance: well under a millisecond. */
const SLICE = 8;

/** Above this, in bytes, an instance that has grown over what its policies need is replaced. */
const GROWN = 32 << 20;

/** @typedef {import('./links.js').Link} Link */
/** @typedef {{name: string, text: string}} Document */
/** @typedef {{rulesets: Document[], workflow?: Document, options: string}} Source */
/** @typedef {'evaluate' | 'begin' | 'settle' | 'finish' | 'resume'} Step */
/** @typedef {{id: string, revision: string, summary: string}} Prepared */

export class Decider {
  #root;
  #memory;
  #maxMemory;
  /** By id of a policy: its handle in the instance. @type {Map<string, any>} */
  #policies = new Map();
  /** Memory after the last policy was compiled: what it needs without any call. */
  #settled;
  over = false;

  /**
   * @param {import('./component.js').Component} component
   * @param {number} maxMemory
   */
  constructor(component, maxMemory) {
    const { root, memory } = instance(component);
    this.#root = root;
    this.#memory = memory;
    this.#maxMemory = maxMemory;
    this.#settled = memory();
  }

  /** @param {string} id */
  holds(id) {
    return this.#policies.has(id);
  }

  /** Whether it should not be used for another call. */
  get worn() {
    const memory = this.#memory();
    return memory > Math.max(GROWN, this.#settled * 2) || memory > (this.#maxMemory / 4) * 3;
  }

  /**
   * Every entry into the instance goes through here.
   *
   * @template T
   * @param {(root: any) => T} work
   * @returns {T}
   */
  #enter(work) {
    if (this.over) throw new Abnormal('host', 'the instance has ended');
    try {
      return work(this.#root);
    } catch (error) {
      if (error instanceof Error && 'payload' in error) throw new Declined(error.payload);
      this.over = true;
      this.#policies.clear();
      // A failed allocation ends like any other trap.
      const full = this.#memory() > this.#maxMemory / 2;
      throw new Abnormal(full ? 'out-of-memory' : 'trap', messageOf(error));
    }
  }

  /**
   * Compiles a policy, in slices: between two of them it yields, either nothing or paths to look up. It ends with what is
   * known of the policy, which the instance then holds; documents that do not load are an `EdictumConfigError`.
   *
   * @param {Source} source
   * @param {(paths: string[], links: Link[]) => void} [seen] told what was answered
   * @returns {Generator<string[] | null, {handle: any, revision: string, summary: string}, Link[] | string | undefined>}
   */
  *prepare(source, seen) {
    const { rulesets, workflow, options } = source;
    const preparation = this.#enter((root) => new root.decide.Preparation(rulesets, workflow, options));
    try {
      for (;;) {
        const progress = this.#enter(() => preparation.advance(SLICE));
        if (progress.tag === 'ready') {
          const handle = progress.val;
          const revision = this.#enter(() => handle.revision());
          yield null;
          return { handle, revision, summary: this.#enter(() => handle.summary()) };
        }
        if (progress.tag === 'more') {
          yield null;
          continue;
        }
        /** @type {{tag: string, val: any}[]} */
        const answers = [];
        for (const question of progress.val) {
          if (question.tag !== 'read-links') throw new Abnormal('host', 'a preparation asks for something else than links');
          const links = yield question.val;
          if (Array.isArray(links)) {
            seen?.(question.val, links);
            answers.push({ tag: 'read-links', val: links.map(typedLink) });
          } else {
            answers.push({ tag: 'failed', val: String(links) });
          }
        }
        this.#enter(() => preparation.answer(answers));
      }
    } catch (error) {
      throw error instanceof Declined ? refused(error.failure) : error;
    } finally {
      if (!this.over) this.#enter(() => preparation[Symbol.dispose]());
    }
  }

  /**
   * Keeps a policy that was compiled here.
   *
   * @param {string} id
   * @param {any} handle
   */
  hold(id, handle) {
    this.drop(id);
    this.#policies.set(id, handle);
    this.#settled = this.#memory();
  }

  /**
   * Lets go of a policy.
   *
   * @param {string} id
   */
  drop(id) {
    const handle = this.#policies.get(id);
    if (handle === undefined) return;
    this.#policies.delete(id);
    this.#enter(() => handle[Symbol.dispose]());
  }

  /** @param {string} id */
  #policy(id) {
    const handle = this.#policies.get(id);
    if (handle === undefined) throw new Abnormal('host', 'the instance does not hold the policy');
    return handle;
  }

  /**
   * A step of the text form.
   *
   * @param {string} id
   * @param {Step} step
   * @param {string} request
   * @returns {string}
   */
  step(id, step, request) {
    const policy = this.#policy(id);
    return this.#enter((root) => root.decideText[step](policy, request));
  }

  /**
   * `operate`, which the text form does not have, with its answer in the text form.
   *
   * @param {string} id
   * @param {string} session
   * @param {string} command
   * @param {number} now
   * @returns {string}
   */
  operate(id, session, command, now) {
    const policy = this.#policy(id);
    const step = this.#enter(() => policy.operate(session, command, BigInt(now)));
    if (step.tag === 'ask-host') {
      const { ticket, questions } = step.val;
      return `{"ask_host":{"ticket":${ticket},"questions":${JSON.stringify(questions.map(textQuestion))}}}`;
    }
    const { tag, val } = step.val;
    if (tag === 'err') return `{"done":{"err":${JSON.stringify(val)}}}`;
    return `{"done":{"ok":{"state":${val.state},"events":[${val.events.join(',')}]}}}`;
  }

  /**
   * @param {string} id
   * @param {string} call
   * @param {string | undefined} ticket
   * @param {string} fault
   * @param {number} now
   * @returns {any} the decision, as the interface has it
   */
  fault(id, call, ticket, fault, now) {
    const policy = this.#policy(id);
    return this.#enter(() => policy.fault(call, ticket, fault, BigInt(now)));
  }

  /**
   * @param {string} id
   * @param {string} call
   * @param {string} ticket
   * @param {string} fault
   * @param {number} now
   * @returns {any} the conclusion, as the interface has it
   */
  faultFinish(id, call, ticket, fault, now) {
    const policy = this.#policy(id);
    return this.#enter(() => policy.faultFinish(call, ticket, fault, BigInt(now)));
  }

  /**
   * @param {Source} source
   * @returns {import('./errors.js').Diagnostic[]}
   */
  check({ rulesets, workflow, options }) {
    return this.#enter((root) => root.documents.check(rulesets, workflow, options));
  }

  /**
   * @param {Source} source
   * @returns {string}
   */
  describe({ rulesets, workflow, options }) {
    return this.#typed((root) => root.documents.describe(rulesets, workflow, options));
  }

  /** @returns {Document[]} */
  templates() {
    return this.#enter((root) => root.documents.templates());
  }

  /**
   * The trusted key that made the signature; an `Error` with the interface's reason otherwise.
   *
   * @param {string} text
   * @param {string} signature
   * @param {string[]} keys
   * @returns {{key: string} | {error: string}}
   */
  verify(text, signature, keys) {
    try {
      return { key: this.#enter((root) => root.signing.verify(text, signature, keys)) };
    } catch (error) {
      if (error instanceof Declined) return { error: String(error.failure) };
      throw error;
    }
  }

  /**
   * The members of a text of somebody else's; null: it is not one object, or a name stands in it twice.
   *
   * @param {string} text
   * @returns {[name: string, value: string][] | null}
   */
  members(text) {
    try {
      return this.#enter((root) => root.decideText.members(text));
    } catch (error) {
      if (error instanceof Declined) return null;
      throw error;
    }
  }

  /**
   * @template T
   * @param {(root: any) => T} work
   * @returns {T}
   */
  #typed(work) {
    try {
      return this.#enter(work);
    } catch (error) {
      throw error instanceof Declined ? refused(error.failure) : error;
    }
  }
}

/** An `err` of the interface. */
class Declined extends Error {
  /** @param {any} failure */
  constructor(failure) {
    super('declined');
    this.failure = failure;
  }
}

/** @param {Link} link */
function typedLink(link) {
  return typeof link === 'string' ? { tag: link } : { tag: 'target', val: link.target };
}

/**
 * A question of `operate`, which asks about sessions only.
 *
 * @param {{tag: string, val: any}} question
 */
function textQuestion({ tag, val }) {
  if (tag !== 'session') throw new Abnormal('host', `an operation asks for \`${tag}\``);
  return { session: val.map((/** @type {{tag: string, val: any}} */ step) => ({ [step.tag]: step.val })) };
}
