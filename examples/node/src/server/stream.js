/** The stream of a server's news: its bytes, as they come. What they mean is in the component. */

import { request as plain } from 'node:http';
import { request as secure } from 'node:https';

/** Most bytes that the component takes at a time. */
const PART = 16 * 1024;

/** How long a server may take to answer, in milliseconds. */
const OPENING = 30_000;

/**
 * @typedef {object} Listener told one thing after another; the stream waits until it is done with each
 * @property {(status: number, headers: [string, string][]) => Promise<void>} opened
 * @property {(bytes: Uint8Array) => Promise<void>} data
 * @property {() => Promise<void>} closed not told after `close`
 */

export class Stream {
  #request;
  #over = false;
  #listener;

  /**
   * Opens it. Redirects are not followed.
   *
   * @param {{url: string, headers: [string, string][], idleTimeoutMs: number}} wanted
   * @param {Listener} listener
   */
  constructor({ url, headers, idleTimeoutMs }, listener) {
    this.#listener = listener;
    const open = new URL(url).protocol === 'https:' ? secure : plain;
    // A connection of its own: it lives long.
    this.#request = open(url, { headers: Object.fromEntries(headers), agent: false });
    this.#request.setTimeout(Math.max(idleTimeoutMs, 1), () => this.#request.destroy());
    const opening = setTimeout(() => this.#request.destroy(), OPENING);
    this.#request.on('socket', (socket) => socket.unref());
    this.#request.on('response', (response) => {
      clearTimeout(opening);
      void this.#read(response);
    });
    this.#request.on('error', () => {});
    this.#request.on('close', () => {
      clearTimeout(opening);
      if (!this.#answered) void this.#end();
    });
    this.#request.end();
  }

  #answered = false;

  /** @param {import('node:http').IncomingMessage} response */
  async #read(response) {
    this.#answered = true;
    /** @type {[string, string][]} */
    const headers = [];
    for (let at = 0; at + 1 < response.rawHeaders.length; at += 2) {
      headers.push([response.rawHeaders[at] ?? '', response.rawHeaders[at + 1] ?? '']);
    }
    try {
      await this.#tell(() => this.#listener.opened(response.statusCode ?? 0, headers));
      for await (const chunk of response) {
        for (let at = 0; at < chunk.length; at += PART) {
          await this.#tell(() => this.#listener.data(chunk.subarray(at, at + PART)));
        }
      }
    } catch {
      // A stream that breaks has ended.
    }
    await this.#end();
  }

  /** @param {() => Promise<void>} tell */
  async #tell(tell) {
    if (this.#over) throw new Error('closed');
    await tell();
  }

  async #end() {
    if (this.#over) return;
    this.#over = true;
    await this.#listener.closed();
  }

  /** Closes it; the listener is told nothing more. */
  close() {
    this.#over = true;
    this.#request.destroy();
  }
}
