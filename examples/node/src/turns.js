/**
 * A lock per session, so that its steps run in order: first come, first served. It is held for one step, never while a
 * tool runs or a person thinks.
 */
export class Turns {
  /** @type {Map<string, Promise<void>>} */
  #last = new Map();

  /**
   * Takes the next turn of this name now, and does the work when it comes.
   *
   * @template T
   * @param {string} name
   * @param {() => Promise<T> | T} work
   * @returns {Promise<T>}
   */
  async take(name, work) {
    const before = this.#last.get(name);
    /** @type {() => void} */
    let done = () => {};
    const turn = new Promise((/** @type {(value: void) => void} */ resolve) => (done = resolve));
    this.#last.set(name, turn);
    try {
      if (before) await before;
      return await work();
    } finally {
      done();
      if (this.#last.get(name) === turn) this.#last.delete(name);
    }
  }

  /** Sessions that have a step running or waiting. */
  get size() {
    return this.#last.size;
  }
}
