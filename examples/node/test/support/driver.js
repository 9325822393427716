/** A driver process, of this host or of the reference host. */

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** The program of the reference host; undefined: there is none here. */
export const HOST = process.env.EDICTUM_HOST;

const OURS = [process.execPath, fileURLToPath(new URL('../../driver.js', import.meta.url))];

export class Driver {
  /** @type {Map<number, (answer: any) => void>} */
  #waiting = new Map();
  #last = 0;

  /**
   * @param {import('node:test').TestContext} t
   * @param {string[]} command
   */
  constructor(t, [program = '', ...words] = OURS) {
    this.process = spawn(program, words, { stdio: ['pipe', 'pipe', 'ignore'] });
    this.ended = new Promise((resolve) => this.process.once('exit', resolve));
    createInterface({ input: this.process.stdout }).on('line', (line) => this.#answered(line));
    t.after(() => this.process.kill('SIGKILL'));
  }

  /** @param {import('node:test').TestContext} t */
  static ours(t) {
    return new Driver(t);
  }

  /** @param {import('node:test').TestContext} t */
  static reference(t) {
    return new Driver(t, [HOST ?? '', 'driver']);
  }

  /**
   * The answer to a request: the line with all that is in it.
   *
   * @param {string} op
   * @param {object} fields
   * @returns {Promise<any>}
   */
  answer(op, fields = {}) {
    this.#last += 1;
    const id = this.#last;
    const answered = new Promise((resolve) => this.#waiting.set(id, resolve));
    this.process.stdin.write(`${JSON.stringify({ id, op, ...fields })}\n`);
    return answered;
  }

  /**
   * @param {string} op
   * @param {object} fields
   */
  async ask(op, fields = {}) {
    const answer = await this.answer(op, fields);
    if (!answer.ok) throw Object.assign(new Error(answer.error.message), { code: answer.error.code });
    return answer.result;
  }

  /** Ends it as the end of input does, and gives its exit code. */
  async end() {
    this.process.stdin.end();
    return this.ended;
  }

  /** @param {string} line */
  #answered(line) {
    const answer = JSON.parse(line);
    this.#waiting.get(answer.id)?.(answer);
    this.#waiting.delete(answer.id);
  }
}
