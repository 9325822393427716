/**
 * What a process has one of: the component, an instance that decides on this thread, and the policies in use. One that ended
 * abnormally is dropped, and the next caller gets a new one. A policy is compiled in slices, with turns of the event loop
 * between them.
 */

import { MAX_MEMORY, component } from './component.js';
import { Decider } from './decider.js';
import { Abnormal, messageOf } from './errors.js';
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
 * How slices may be watched, by tests and measurements.
 *
 * @typedef {(milliseconds: number) => void} SliceWatcher
 */

export class Engine {
  #component;
  #maxMemory;
  /** @type {Decider | undefined} */
  #decider;
  /** Policies that are being compiled in the present instance, by id. @type {Map<string, Promise<Decider>>} */
  #compiling = new Map();
  /** @type {Map<string, Policy[]>} */
  #policies = new Map();
  /** Instances made so far. */
  instances = 0;
  /** Told how long each stretch of compiling took. @type {SliceWatcher | undefined} */
  watcher;

  /**
   * @param {import('./component.js').Component} component
   * @param {number} maxMemory
   */
  constructor(component, maxMemory) {
    this.#component = component;
    this.#maxMemory = maxMemory;
  }

  /** @param {{maxMemory?: number}} [options] */
  static async make({ maxMemory = MAX_MEMORY } = {}) {
    return new Engine(await component(maxMemory), maxMemory);
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
   * One thing in an instance that holds this policy: at once when it does, else after it was compiled.
   *
   * @template T
   * @param {Policy} policy
   * @param {(decider: Decider) => T} work
   * @returns {T | Promise<T>}
   */
  decide(policy, work) {
    const decider = this.#present();
    return decider.holds(policy.id) ? work(decider) : this.#compileAndDecide(policy, work);
  }

  /**
   * @template T
   * @param {Policy} policy
   * @param {(decider: Decider) => T} work
   */
  async #compileAndDecide(policy, work) {
    for (let attempt = 0; attempt < 3; attempt += 1) {
      // Not the present one: what was compiled may have worn it out already.
      const decider = await this.#compiled(policy);
      if (decider.holds(policy.id)) return work(decider);
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
    const preparation = decider.prepare(source, seen);
    let step = preparation.next();
    while (!step.done) {
      const moment = performance.now();
      if (moment - started > PREPARATION) throw new Abnormal('deadline', 'a policy takes too long to compile');
      if (step.value) {
        this.watcher?.(moment - since);
        const answer = await links(step.value);
        since = performance.now();
        step = preparation.next(answer);
      } else {
        if (moment - since > TURN) {
          this.watcher?.(moment - since);
          await new Promise(setImmediate);
          since = performance.now();
        }
        step = preparation.next();
      }
    }
    this.watcher?.(performance.now() - since);
    return step.value;
  }
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
