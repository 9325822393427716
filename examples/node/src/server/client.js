/** `EdictumServerClient`: requests to edictum-api by hand, with credential, retries and the TLS rule. */

import { randomUUID } from 'node:crypto';

import { EdictumError, refused } from '../errors.js';
import { RawJson, jsonOf } from '../json.js';
import { Alarm, nowBig } from './alarm.js';
import { endpointOf } from './connect.js';
import { Lane } from './lane.js';

/** Most times that a request is made; the component gives up earlier. */
const MAX_ATTEMPTS = 8;

/** @typedef {Omit<import('./connect.js').ServerOptions, 'url'>} ClientOptions */
/** @typedef {Record<string, string | number | boolean | undefined>} Query */

/** Requests of one client go one after another. */
export class EdictumServerClient {
  /** @type {Promise<Lane> | undefined} */
  #lane;

  /**
   * Makes no request.
   *
   * @param {string} url
   * @param {ClientOptions} options
   */
  constructor(url, options) {
    /** What else is made for this server. @type {import('./connect.js').ServerOptions} */
    this.server = { url, ...options };
    this.endpoint = endpointOf(this.server);
  }

  /**
   * An answer with a status of 2xx, as JSON text.
   *
   * @param {'get' | 'post' | 'put' | 'delete'} method
   * @param {string} path begins with `/`; not encoded
   * @param {{query?: Query, body?: unknown}} [options]
   * @returns {Promise<{status: number, body: string}>}
   */
  async request(method, path, { query = {}, body } = {}) {
    const pairs = Object.entries(query).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]]));
    const text = body === undefined ? undefined : jsonOf(body, 'body');
    const reference = randomUUID();
    this.#lane ??= Lane.open('endpoint', this.endpoint);
    const lane = await this.#lane.catch((error) => {
      this.#lane = undefined;
      throw error;
    });
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
      const reply = await lane.call('request', reference, attempt, method, path, pairs, text, nowBig());
      if (reply.tag === 'done') return reply.val;
      if (reply.tag === 'failed') throw refused(reply.val);
      await new Alarm(true).wait(Number(reply.val));
    }
    throw new EdictumError('unavailable', 'the server gives no answer');
  }

  /**
   * @param {string} path
   * @param {Query} [query]
   * @returns {Promise<any>}
   */
  async get(path, query) {
    return this.#value('get', path, { query });
  }

  /**
   * @param {string} path
   * @param {unknown} [body] a value, or `RawJson`
   * @returns {Promise<any>}
   */
  async post(path, body) {
    return this.#value('post', path, { body });
  }

  /**
   * @param {string} path
   * @param {unknown} [body]
   * @returns {Promise<any>}
   */
  async put(path, body) {
    return this.#value('put', path, { body });
  }

  /**
   * @param {string} path
   * @returns {Promise<any>}
   */
  async delete(path) {
    return this.#value('delete', path, {});
  }

  /**
   * @param {'get' | 'post' | 'put' | 'delete'} method
   * @param {string} path
   * @param {{query?: Query, body?: unknown}} options
   */
  async #value(method, path, options) {
    return new RawJson((await this.request(method, path, options)).body).value();
  }

  /** Ends its thread. */
  async close() {
    const lane = this.#lane;
    this.#lane = undefined;
    await (await lane)?.end();
  }

  async [Symbol.asyncDispose]() {
    await this.close();
  }
}
