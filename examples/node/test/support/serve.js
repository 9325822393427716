/** An edictum-api: `edictum-host serve`, and requests to it as an operator. */

import { spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { HOST } from './driver.js';
import { folder } from './folder.js';

export const AGENT = 'edk_production_test-agent-key';
export const OPERATOR = 'edo_alice_test-operator-key';

export class Serve {
  /**
   * @param {import('node:child_process').ChildProcess} child
   * @param {string} address
   * @param {string} data
   */
  constructor(child, address, data) {
    this.child = child;
    this.address = address;
    this.url = `http://${address}`;
    this.data = data;
    this.ended = new Promise((resolve) => child.once('exit', resolve));
  }

  /**
   * @param {import('node:test').TestContext} t
   * @param {{rulesets?: Record<string, string>, more?: string[], data?: string, listen?: string}} [given] `rulesets`: by file name
   */
  static async start(t, { rulesets = {}, more = [], data, listen = '127.0.0.1:0' } = {}) {
    const at = data ?? (await folder(t));
    await mkdir(join(at, 'rulesets'), { recursive: true });
    for (const [name, text] of Object.entries(rulesets)) await writeFile(join(at, 'rulesets', name), text);
    const words = ['serve', '--listen', listen, '--json', '--data', join(at, 'data'), '--rulesets', join(at, 'rulesets')];
    const keys = ['--api-key', `production:${AGENT}`, '--operator-key', `alice:${OPERATOR}`];
    const child = spawn(HOST ?? '', [...words, ...keys, ...more], { stdio: ['ignore', 'pipe', 'ignore'] });
    t.after(() => child.kill('SIGKILL'));
    const line = await new Promise((resolve, reject) => {
      createInterface({ input: /** @type {any} */ (child.stdout) }).once('line', resolve);
      child.once('exit', (code) => reject(new Error(`serve ended with ${code}`)));
    });
    return new Serve(child, JSON.parse(line).address, at);
  }

  /** At once, as a machine does that loses its power. */
  async kill() {
    this.child.kill('SIGKILL');
    await this.ended;
  }

  /**
   * A request as an operator.
   *
   * @param {string} method
   * @param {string} path
   * @param {unknown} [body]
   * @returns {Promise<any>}
   */
  async operator(method, path, body) {
    const headers = { authorization: `Bearer ${OPERATOR}`, 'content-type': 'application/json' };
    const answer = await fetch(`${this.url}${path}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text === '' ? null : JSON.parse(text);
  }

  /** Decides the next approval that waits. */
  async decide(approved = true) {
    const [waiting] = await until(async () => {
      const { approvals } = await this.operator('GET', '/v1/approvals?status=pending');
      return approvals.length > 0 && approvals;
    });
    return this.operator('POST', `/v1/approvals/${waiting.id}/decide`, { approved, reason: 'said so' });
  }
}

/**
 * Waits until something is so. A guard against hangs, not a measure of speed.
 *
 * @template T
 * @param {() => T | Promise<T>} what
 * @returns {Promise<Exclude<T, false | null | undefined>>}
 */
export async function until(what) {
  const since = Date.now();
  for (;;) {
    const found = await what();
    if (found) return /** @type {any} */ (found);
    if (Date.now() - since > 60_000) throw new Error('it did not come');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
