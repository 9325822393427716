/** Where the decision log goes. Events are the engine's: redacted, in wire form and in order. */

import { appendFile } from 'node:fs/promises';

/**
 * Takes events of one guard. Throws when they cannot be kept: with the option `decision_log_required` the call is blocked.
 *
 * @typedef {object} AuditSink
 * @property {(event: any, text: string) => unknown} emit one event as a value, and as the engine wrote it
 * @property {() => unknown} [close]
 */

/**
 * The same for this package's own parts: all events of a step at once, as texts.
 *
 * @typedef {object} EventSink
 * @property {(events: string[]) => unknown} keep
 * @property {() => unknown} [close]
 */

/** Keeps the newest events in memory, up to a bound, until somebody takes them. @implements {EventSink} */
export class EventBuffer {
  #maxBytes;
  /** @type {string[]} */
  #events = [];
  #bytes = 0;
  #dropped = 0;
  /** Of the next event. */
  #sequence = 0;

  /** @param {number} [maxBytes] */
  constructor(maxBytes = 64 << 20) {
    this.#maxBytes = maxBytes;
  }

  /** @param {string[]} events */
  keep(events) {
    for (const event of events) {
      const kept = withSequence(event, this.#sequence);
      this.#sequence += 1;
      this.#bytes += Buffer.byteLength(kept);
      this.#events.push(kept);
    }
    let gone = 0;
    while (this.#bytes > this.#maxBytes && gone < this.#events.length) {
      this.#bytes -= Buffer.byteLength(this.#events[gone] ?? '');
      gone += 1;
    }
    if (gone > 0) this.#events.splice(0, gone);
    this.#dropped += gone;
  }

  /** The events since the last time, oldest first, and how many older ones had to go. */
  take() {
    const taken = { events: this.#events, dropped: this.#dropped };
    this.#events = [];
    this.#bytes = 0;
    this.#dropped = 0;
    return taken;
  }
}

/**
 * An event with its place in this log; the rest of its text stays as it is. Events that go without ids (option
 * `bare_events`) go without places too.
 *
 * @param {string} event
 * @param {number} sequence
 */
export function withSequence(event, sequence) {
  return event.startsWith('{') && event.includes('"event_id":') ? `{"sequence":${sequence},${event.slice(1)}` : event;
}

/** Keeps events as values, for tests and small programs. @implements {AuditSink} */
export class CollectingAuditSink {
  /** @type {any[]} */
  events = [];

  /** @param {any} event */
  emit(event) {
    this.events.push(event);
  }
}

/** Writes each event as a line to standard output. @implements {AuditSink} */
export class StdoutAuditSink {
  /**
   * @param {any} _event
   * @param {string} text
   */
  emit(_event, text) {
    process.stdout.write(`${text}\n`);
  }
}

/** Appends each event as a line to a file. @implements {AuditSink} */
export class FileAuditSink {
  #path;
  /** @type {Promise<void>} */
  #last = Promise.resolve();

  /** @param {string | URL} path */
  constructor(path) {
    this.#path = path;
  }

  /**
   * @param {any} _event
   * @param {string} text
   */
  emit(_event, text) {
    const written = this.#last.then(() => appendFile(this.#path, `${text}\n`, { mode: 0o600 }));
    // One that fails is told to its own caller only.
    this.#last = written.catch(() => {});
    return written;
  }
}

/** Hands each event to several sinks; all are told, then the first trouble is. @implements {EventSink} */
export class Sinks {
  #sinks;

  /** @param {(AuditSink | EventSink)[]} sinks */
  constructor(sinks) {
    this.#sinks = sinks;
  }

  /** @param {string[]} events */
  async keep(events) {
    const kept = await Promise.allSettled(this.#sinks.map((sink) => hand(sink, events)));
    for (const one of kept) {
      if (one.status === 'rejected') throw one.reason;
    }
  }

  async close() {
    for (const sink of this.#sinks) await sink.close?.();
  }
}

/**
 * @param {AuditSink | EventSink} sink
 * @param {string[]} events
 */
async function hand(sink, events) {
  if ('keep' in sink) return sink.keep(events);
  for (const event of events) await sink.emit(JSON.parse(event), event);
}
