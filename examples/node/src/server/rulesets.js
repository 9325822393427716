/**
 * Rules from a server: one for each source. It takes the steps that the component asks for, moves the bytes of the stream, and swaps
 * a verified ruleset in for everybody at once: written down first, compiled beside the old rules, then swapped, and only then
 * reported.
 */

import { now } from '../clock.js';
import { EdictumError, messageOf, refused } from '../errors.js';
import { log } from '../log.js';
import { alive } from '../wait.js';
import { Alarm, momentOf, nowBig } from './alarm.js';
import { Lane, notice } from './lane.js';
import { Stream } from './stream.js';

/** Under this owner the memory of sources is in a store. */
const OWNER = 'edictum-server';

/** Milliseconds until a step is tried again whose instance ended abnormally. */
const RETRY = 1_000;

/**
 * A verified ruleset.
 *
 * @typedef {object} Release
 * @property {{name: string, text: string}} ruleset
 * @property {string} revision SHA-256 of the text
 * @property {bigint} [version] the server's number
 * @property {string} [keyId] the trusted key that verified it
 */

/**
 * Somebody who uses the rules.
 *
 * @typedef {object} Follower
 * @property {(release: Release) => Promise<() => void>} prepare makes it ready; what it gives puts it in force
 * @property {(code: string, message: string) => void} trouble
 */

/**
 * How a source begins.
 *
 * @typedef {object} Opening
 * @property {import('./lane.js').Endpoint} endpoint
 * @property {object} options
 * @property {import('../store.js').Store} store where its memory is kept
 * @property {string} memoryName
 * @property {(approvalIds: string[]) => void} wake
 */

export class Source {
  #opening;
  /** @type {Lane | undefined} */
  #lane;
  /** @type {Release | undefined} */
  current;
  /** @type {Set<Follower>} */
  #followers = new Set();
  /** Who waits for the first rules, or for a refresh. @type {{follower?: Follower, resolve: (release: Release) => void, reject: (error: unknown) => void}[]} */
  #waiting = [];
  /** @type {Stream | undefined} */
  #stream;
  #alarm = new Alarm();
  #over = false;
  /** Why the start has failed. @type {unknown} */
  failed;

  /** @param {Opening} opening */
  constructor(opening) {
    this.#opening = opening;
    void this.#run();
  }

  /**
   * The rules, from now on: `prepare` of a follower is called for the present release before this is done, and for each later one.
   *
   * @param {Follower} follower
   * @returns {Promise<Release>}
   */
  async follow(follower) {
    if (this.failed) throw this.failed;
    this.#followers.add(follower);
    if (this.current) {
      (await follower.prepare(this.current))();
      return this.current;
    }
    return this.#next(follower);
  }

  /** @param {Follower} follower */
  leave(follower) {
    this.#followers.delete(follower);
  }

  /** Fetches now, although nobody watches, and gives what is in force then. */
  async refresh() {
    const lane = await this.#open();
    await this.#lane?.end();
    this.#lane = lane;
    const next = this.#next();
    this.#alarm.ring();
    return next;
  }

  /** As the component says it. */
  async health() {
    return this.#lane ? JSON.parse(await this.#lane.call('health', nowBig())) : {};
  }

  async end() {
    this.#over = true;
    this.#stream?.close();
    this.#alarm.ring();
    this.#tellNews(new EdictumError('closed', 'the guard is closed'));
    await this.#lane?.end();
  }

  /**
   * @param {Follower} [follower]
   * @returns {Promise<Release>}
   */
  #next(follower) {
    return alive(new Promise((resolve, reject) => this.#waiting.push({ follower, resolve, reject })));
  }

  async #open() {
    const { endpoint, options, store, memoryName } = this.#opening;
    let memory;
    try {
      memory = (await store.memory(OWNER, memoryName)) ?? undefined;
    } catch (error) {
      // Like an empty one: what follows is verified again.
      log('warning', `the memory of a ruleset source cannot be read: ${messageOf(error)}`);
    }
    return Lane.open('ruleset-source', endpoint, options, memory);
  }

  async #run() {
    try {
      this.#lane = await this.#open();
    } catch (error) {
      return this.#fail(error);
    }
    while (!this.#over) {
      let next;
      try {
        next = await this.#take(await this.#lane.call('step', nowBig()));
      } catch (error) {
        if (this.#over) return;
        if (error instanceof Start) return this.#fail(error.failure);
        this.#tell('lane_failed', messageOf(error));
        next = now() + RETRY;
      }
      await this.#alarm.wait(next);
    }
  }

  /** @param {unknown} error */
  async #fail(error) {
    this.failed = error;
    this.#over = true;
    this.#stream?.close();
    this.#tellNews(error);
    await this.#lane?.end();
  }

  /**
   * Does what a step says.
   *
   * @param {{notices: string[], memory?: string, wakeApprovals: string[], release?: Release, connection: 'keep' | 'open' | 'close', failed?: any, next?: bigint}} step
   */
  async #take(step) {
    for (const text of step.notices) {
      const { level, code, message } = notice(text);
      if (level === 'error') this.#tell(code, message);
      else if (level === 'warning') log('warning', `${message} (${code})`);
    }
    if (step.memory !== undefined) await this.#keep(step.memory);
    if (step.wakeApprovals.length > 0) this.#opening.wake(step.wakeApprovals);
    let next = momentOf(step.next);
    if (step.release) {
      await this.#apply(step.release);
      // Reporting it may make something due.
      next = now();
    }
    if (step.connection !== 'keep') {
      this.#stream?.close();
      this.#stream = undefined;
      if (step.connection === 'open') await this.#openStream();
    }
    if (step.failed) throw new Start(refused(step.failed));
    return next;
  }

  /**
   * Swaps a release in for everybody, or for nobody.
   *
   * @param {Release} release
   */
  async #apply(release) {
    const first = this.current === undefined;
    const ready = [];
    try {
      for (const follower of [...this.#followers]) {
        try {
          ready.push(await follower.prepare(release));
        } catch (error) {
          // One guard whose own workflow does not fit is no reason against the ruleset, while no guard goes on without it.
          if (!first) throw error;
          this.#followers.delete(follower);
          this.#tellNews(error, follower);
          if (this.#followers.size === 0) throw error;
        }
      }
    } catch (error) {
      const { code = 'internal', diagnostics = [] } = /** @type {{code?: string, diagnostics?: any[]}} */ (error);
      const failure = { kind: 'invalid-document', code, message: messageOf(error), diagnostics };
      await this.#lane?.call('rejected', release.revision, failure, nowBig());
      this.#tellNews(error);
      return;
    }
    for (const put of ready) put();
    this.current = release;
    await this.#lane?.call('enforced', release.revision, nowBig());
    this.#tellNews(release);
  }

  /**
   * To all who wait, or to one of them: the rules, or why there are none.
   *
   * @param {unknown} news
   * @param {Follower} [follower]
   */
  #tellNews(news, follower) {
    const told = this.#waiting.filter((waiting) => !follower || waiting.follower === follower);
    this.#waiting = this.#waiting.filter((waiting) => !told.includes(waiting));
    for (const { resolve, reject } of told) {
      if (news instanceof Error) reject(news);
      else resolve(/** @type {Release} */ (news));
    }
  }

  /**
   * Durably, before the release is used. Where that fails, a restart may take an older ruleset for new: that is said.
   *
   * @param {string} memory
   */
  async #keep(memory) {
    try {
      await this.#opening.store.remember(OWNER, this.#opening.memoryName, memory);
    } catch (error) {
      this.#tell('memory_not_kept', `what is known of the server's rulesets cannot be kept: ${messageOf(error)}`);
    }
  }

  async #openStream() {
    const lane = this.#lane;
    if (!lane) return;
    const wanted = await lane.call('streamRequest', nowBig());
    /** @type {Stream} */
    const stream = new Stream(wanted, {
      opened: (status, headers) => this.#heard(stream, 'streamOpened', status, headers),
      data: (bytes) => this.#heard(stream, 'streamData', bytes),
      closed: () => this.#heard(stream, 'streamClosed'),
    });
    this.#stream = stream;
  }

  /**
   * @param {Stream} stream
   * @param {string} method
   * @param {unknown[]} values
   */
  async #heard(stream, method, ...values) {
    if (stream !== this.#stream || this.#over) return;
    try {
      await this.#lane?.call(method, ...values, nowBig());
    } catch (error) {
      // A new instance knows nothing of this stream.
      this.#stream = undefined;
      stream.close();
      this.#tell('lane_failed', messageOf(error));
    }
    this.#alarm.ring();
  }

  /**
   * @param {string} code
   * @param {string} message
   */
  #tell(code, message) {
    log('error', `${message} (${code})`);
    for (const follower of this.#followers) follower.trouble(code, message);
  }
}

/** The start has failed. */
class Start extends Error {
  /** @param {unknown} failure */
  constructor(failure) {
    super(messageOf(failure));
    this.failure = failure;
  }
}
