/**
 * Calls to an object in another thread: the side that asks (`Remote`), and the side that answers (`answer`). The thread
 * starts with the first call, keeps the process alive only while somebody waits for it, and starts anew after it has ended.
 */

import { Worker, parentPort, workerData } from 'node:worker_threads';

import { Abnormal, messageOf } from './errors.js';

/** @typedef {{resolve: (value: any) => void, reject: (reason: Error) => void, timer?: NodeJS.Timeout}} Waiting */

export class Remote {
  #program;
  #data;
  /** @type {((message: any) => void) | undefined} */
  #told;
  /** @type {Worker | undefined} */
  #worker;
  /** @type {Map<number, Waiting>} */
  #waiting = new Map();
  #last = 0;

  /**
   * @param {URL} program
   * @param {unknown} [data] given to each thread that is started
   * @param {(message: any) => void} [told] what the thread says without being asked
   */
  constructor(program, data, told) {
    this.#program = program;
    this.#data = data;
    this.#told = told;
  }

  /**
   * @param {string} method
   * @param {unknown[]} values
   * @param {number} [deadline] milliseconds; after them the thread is ended, with all that it was asked
   * @returns {Promise<any>}
   */
  ask(method, values, deadline) {
    const worker = this.#worker ?? this.#start();
    this.#last += 1;
    const id = this.#last;
    return new Promise((resolve, reject) => {
      /** @type {Waiting} */
      const waiting = { resolve, reject };
      if (deadline !== undefined) {
        waiting.timer = setTimeout(() => this.#end(worker, new Abnormal('deadline', 'no answer in time')), deadline);
      }
      this.#waiting.set(id, waiting);
      worker.ref();
      worker.postMessage({ id, method, values });
    });
  }

  /** Ends the thread. Who still waits is told so. */
  async end() {
    const worker = this.#worker;
    if (!worker) return;
    this.#end(worker, new Abnormal('host', 'the thread was ended'));
    await worker.terminate();
  }

  #start() {
    const worker = new Worker(this.#program, { workerData: this.#data });
    worker.unref();
    worker.on('message', (message) => {
      if (worker !== this.#worker) return;
      if (message.id === undefined) this.#told?.(message);
      else this.#answered(worker, message);
    });
    worker.on('error', (error) => this.#end(worker, new Abnormal('trap', messageOf(error))));
    worker.on('exit', () => this.#end(worker, new Abnormal('host', 'the thread has ended')));
    this.#worker = worker;
    return worker;
  }

  /**
   * @param {Worker} worker
   * @param {{id: number, value?: unknown, error?: Error}} answer
   */
  #answered(worker, { id, value, error }) {
    const waiting = this.#waiting.get(id);
    if (!waiting) return;
    this.#waiting.delete(id);
    clearTimeout(waiting.timer);
    if (this.#waiting.size === 0) worker.unref();
    if (error) waiting.reject(error);
    else waiting.resolve(value);
  }

  /**
   * @param {Worker} worker
   * @param {Error} reason
   */
  #end(worker, reason) {
    if (worker !== this.#worker) return;
    this.#worker = undefined;
    void worker.terminate();
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject, timer } of waiting) {
      clearTimeout(timer);
      reject(reason);
    }
  }
}

/**
 * Answers what the other side asks, one call at a time as far as the methods do not wait.
 *
 * @param {(data: any) => Record<string, (...values: any[]) => any>} make
 */
export function answer(make) {
  const port = parentPort;
  if (!port) throw new Error('this program is for a thread');
  const methods = make(workerData);
  port.on('message', async ({ id, method, values }) => {
    try {
      port.postMessage({ id, value: await methods[method]?.(...values) });
    } catch (error) {
      port.postMessage({ id, error: plain(error) });
    }
  });
}

/**
 * What can be sent: the members of an error of ours survive as members.
 *
 * @param {unknown} error
 */
function plain(error) {
  const { fault, reason, code, diagnostics } = /** @type {Record<string, any>} */ (error ?? {});
  return Object.assign(new Error(messageOf(error)), JSON.parse(JSON.stringify({ fault, reason, code, diagnostics })));
}
