/**
 * What a process has one of: the component, an instance that decides on this thread, and the policies in use. One that ended
 * abnormally is dropped, and the next caller gets a new one. A policy is compiled in slices, with turns of the event loop
 * between them.
 */

import { MAX_MEMORY, component } from './component.js';
import { Decider } from './decider.js';
import { Abnormal, messageOf } from './errors.js';
import { Heavy, INLINE, weight } from './heavy.js';
import { readLinks } from './links.js';
import { Policy, keyOf } from './policy.js';
import { within } from './wait.js';

/** @typedef {import('./decider.js').Source} Source */
/** @typedef {import('./links.js').Link} Link */
/** @typedef {import('./policy.js').Batch} Batch */

/** Milliseconds of compiling after which the event loop has its turn. */
const TURN = 1.5;

/** Milliseconds in which a policy has to be compiled, and links to be read. */
const PREPARATION = 120_000;
const LINKS = 30_000;

/**
 * How stretches of compiling may be watched, by tests and measurements: told when one begins, and when it is over.
 *
 * @typedef {{begin: () => void, over: () => void}} Watcher
 */

/** @typedef {'step' | 'operate' | 'fault' | 'faultFinish'} Deciding */

/**
 * What a method of `Decider` is given behind the policy's id.
 *
 * @template {Deciding} M
 * @typedef {Parameters<Decider[M]> extends [any, ...infer Rest] ? Rest : never} Values
 */

export class Engine {
  #component;
  #maxMemory;
  #heavy;
  /** @type {Decider | undefined} */
  #decider;
  /** Policies that are being compiled in the present instance, by id. @type {Map<string, Promise<Decider>>} */
  #compiling = new Map();
  /** @type {Map<string, Policy[]>} */
  #policies = new Map();
  /** Instances made so far. */
  instances = 0;
  /** @type {Watcher | undefined} */
  watcher;

  /**
   * @param {import('./component.js').Component} component
   * @param {number} maxMemory
   * @param {boolean} alone
   */
  constructor(component, maxMemory, alone) {
    this.#component = component;
    this.#maxMemory = maxMemory;
    this.#heavy = alone ? undefined : new Heavy(maxMemory);
  }

  /** @param {{maxMemory?: number, alone?: boolean}} [options] `alone`: has no other thread for calls with much text */
  static async make({ maxMemory = MAX_MEMORY, alone = false } = {}) {
    return new Engine(await component(maxMemory), maxMemory, alone);
  }

  #present() {
    if (this.#decider?.over || (this.#decider?.worn && this.#compiling.size === 0)) this.#decider = undefined;
    if (!this.#decider) {
      this.#decider = new Decider(this.#component, this.#maxMemory);
      this.#compiling.clear();
      this.instances += 1;
    }
    return this.#decider;
  }

  /**
   * One thing with a policy: at once when the instance holds it, else after it was compiled. Much text is read in another thread,
   * with a deadline, and holds up nobody.
   *
   * @template {Deciding} M
   * @param {Policy} policy
   * @param {M} method
   * @param {Values<M>} values
   * @returns {ReturnType<Decider[M]> | Promise<ReturnType<Decider[M]>>}
   */
  decide(policy, method, ...values) {
    if (this.#heavy && weight(values) > INLINE) return this.#heavy.decide(policy, method, values);
    const decider = this.#present();
    if (decider.holds(policy.id)) return entered(decider, policy, method, values);
    return this.#compileAndDecide(policy, method, values);
  }

  /**
   * @template {Deciding} M
   * @param {Policy} policy
   * @param {M} method
   * @param {Values<M>} values
   * @returns {Promise<ReturnType<Decider[M]>>}
   */
  async #compileAndDecide(policy, method, values) {
    for (let attempt = 0; attempt < 3; attempt += 1) {
      // Not the present one: what was compiled may have worn it out already.
      const decider = await this.#compiled(policy);
      if (decider.holds(policy.id)) return entered(decider, policy, method, values);
    }
    throw new Abnormal('host', 'every instance ends before a policy is compiled');
  }

  /**
   * One thing that needs no policy.
   *
   * @template T
   * @param {(decider: Decider) => T} work
   * @returns {T}
   */
  ask(work) {
    return work(this.#present());
  }

  /**
   * The policy that these texts make. Guards with the same texts get the same one, as long as the file system still says the
   * same about its boundaries. The caller uses it: see `release`.
   *
   * @param {Source} source
   * @returns {Promise<Policy>}
   */
  async policy(source) {
    const key = keyOf(source);
    for (const policy of this.#policies.get(key) ?? []) {
      policy.users += 1;
      if (await unchanged(policy.links)) return policy;
      this.release(policy);
    }
    /** @type {Batch[]} */
    const seen = [];
    const seeing = (/** @type {string[]} */ paths, /** @type {Link[]} */ links) => void seen.push({ paths, links });
    const { decider, prepared } = await this.#prepared(source, lookUp, seeing);
    const policy = new Policy(source, seen, prepared);
    policy.users = 1;
    decider.hold(policy.id, prepared.handle);
    this.#policies.set(key, [...(this.#policies.get(key) ?? []), policy]);
    return policy;
  }

  /** @param {Policy} policy */
  retain(policy) {
    policy.users += 1;
  }

  /**
   * Nobody here uses it any more; with its last user a policy goes.
   *
   * @param {Policy} policy
   */
  release(policy) {
    policy.users -= 1;
    if (policy.users > 0) return;
    const key = keyOf(policy.source);
    const left = (this.#policies.get(key) ?? []).filter((known) => known !== policy);
    if (left.length > 0) this.#policies.set(key, left);
    else this.#policies.delete(key);
    this.#heavy?.drop(policy);
    // Another one may have the same id: same texts, same boundaries.
    if (left.some((known) => known.id === policy.id) || !this.#decider || this.#decider.over) return;
    try {
      this.#decider.drop(policy.id);
    } catch {
      // The next caller gets a new instance.
    }
  }

  /**
   * Compiles a known policy in the present instance.
   *
   * @param {Policy} policy
   */
  #compiled(policy) {
    let compiling = this.#compiling.get(policy.id);
    if (!compiling) {
      compiling = this.#recompile(policy).finally(() => {
        if (this.#compiling.get(policy.id) === compiling) this.#compiling.delete(policy.id);
      });
      this.#compiling.set(policy.id, compiling);
    }
    return compiling;
  }

  /** @param {Policy} policy */
  async #recompile(policy) {
    const batches = [...policy.links];
    const replay = async (/** @type {string[]} */ paths) => {
      const batch = batches.shift();
      if (!batch || batch.paths.join('\0') !== paths.join('\0')) {
        throw new Abnormal('host', 'a policy asks for other links than before');
      }
      return batch.links;
    };
    try {
      const { decider, prepared } = await this.#prepared(policy.source, replay);
      decider.hold(policy.id, prepared.handle);
      return decider;
    } catch (error) {
      // It compiled before: something else than the documents is wrong.
      throw error instanceof Abnormal ? error : new Abnormal('host', `a policy does not load again: ${messageOf(error)}`);
    }
  }

  /**
   * An instance with much in it may fail to compile one more policy where a new one does not.
   *
   * @param {Source} source
   * @param {(paths: string[]) => Promise<Link[] | string>} links
   * @param {(paths: string[], links: Link[]) => void} [seen]
   */
  async #prepared(source, links, seen) {
    const decider = this.#present();
    try {
      return { decider, prepared: await this.#prepare(decider, source, links, seen) };
    } catch (error) {
      if (!(error instanceof Abnormal) || !decider.over) throw error;
    }
    const another = this.#present();
    return { decider: another, prepared: await this.#prepare(another, source, links, seen) };
  }

  /**
   * @param {Decider} decider
   * @param {Source} source
   * @param {(paths: string[]) => Promise<Link[] | string>} links
   * @param {(paths: string[], links: Link[]) => void} [seen]
   */
  async #prepare(decider, source, links, seen) {
    const started = performance.now();
    let since = started;
    this.watcher?.begin();
    const preparation = decider.prepare(source, seen);
    let step = preparation.next();
    while (!step.done) {
      const moment = performance.now();
      if (moment - started > PREPARATION) throw new Abnormal('deadline', 'a policy takes too long to compile');
      if (step.value) {
        this.watcher?.over();
        const answer = await links(step.value);
        since = performance.now();
        this.watcher?.begin();
        step = preparation.next(answer);
      } else {
        if (moment - since > TURN) {
          this.watcher?.over();
          await new Promise(setImmediate);
          since = performance.now();
          this.watcher?.begin();
        }
        step = preparation.next();
      }
    }
    this.watcher?.over();
    return step.value;
  }
}

/**
 * @template {Deciding} M
 * @param {Decider} decider
 * @param {Policy} policy
 * @param {M} method
 * @param {Values<M>} values
 * @returns {ReturnType<Decider[M]>}
 */
function entered(decider, policy, method, values) {
  const enter = /** @type {(...values: any[]) => any} */ (decider[method]);
  return enter.call(decider, policy.id, ...values);
}

/**
 * @param {string[]} paths
 * @returns {Promise<Link[] | string>}
 */
async function lookUp(paths) {
  return (await within(LINKS, readLinks(paths))) ?? 'the file system does not answer';
}

/**
 * Whether the file system still answers as it did.
 *
 * @param {Batch[]} batches
 */
async function unchanged(batches) {
  for (const { paths, links } of batches) {
    if (JSON.stringify(await lookUp(paths)) !== JSON.stringify(links)) return false;
  }
  return true;
}

/** @type {Promise<Engine> | undefined} */
let shared;

/** The engine of this process. */
export function engine() {
  shared ??= Engine.make();
  return shared;
}
