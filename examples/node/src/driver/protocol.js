/** Lines and envelopes: `{"id", "op", …}` in, `{"id", "ok", "result" | "error"}` out. An id comes back as the text it was. */

import { EdictumError, messageOf } from '../errors.js';

/** Longest line, in bytes. A call may have 16 MiB, and its escapes. */
const MAX_LINE = 128 << 20;

const NEWLINE = 0x0a;

/** Why a request was not carried out. */
export class Refusal extends EdictumError {
  /** Of the request, where it is known. @type {string | undefined} */
  id;
}

/**
 * Lines of a stream. One that is too long is read to its end and thrown away.
 *
 * @param {AsyncIterable<Uint8Array | string>} input
 * @returns {AsyncGenerator<string | {broken: Refusal}>}
 */
export async function* lines(input) {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  /** @type {Buffer[]} */
  let parts = [];
  let length = 0;
  let tooLong = false;
  const take = () => {
    const bytes = Buffer.concat(parts);
    const long = tooLong;
    parts = [];
    length = 0;
    tooLong = false;
    if (long) return { broken: new Refusal('bad-request', 'the line is too long') };
    try {
      return decoder.decode(bytes);
    } catch {
      return { broken: new Refusal('bad-request', 'the line is not UTF-8') };
    }
  };
  for await (const chunk of input) {
    let rest = Buffer.from(chunk);
    while (rest.length > 0) {
      const end = rest.indexOf(NEWLINE);
      const part = end < 0 ? rest : rest.subarray(0, end);
      length += part.length;
      if (length > MAX_LINE) {
        tooLong = true;
        parts = [];
      } else {
        parts.push(part);
      }
      rest = end < 0 ? rest.subarray(rest.length) : rest.subarray(end + 1);
      if (end >= 0) yield take();
    }
  }
  if (length > 0) yield take();
}

/** A request: its envelope, and its fields as the texts they came as. */
export class Request {
  /**
   * @param {string} id
   * @param {string} op
   * @param {Map<string, string>} fields
   */
  constructor(id, op, fields) {
    this.id = id;
    this.op = op;
    this.fields = fields;
    this.parallel = this.boolean('parallel') ?? false;
    this.nowMs = this.number('now_ms');
  }

  /**
   * Reads the envelope. The error has the id, where there is one.
   *
   * @param {import('../engine.js').Engine} engine
   * @param {string} line
   */
  static read(engine, line) {
    const members = engine.ask((decider) => decider.members(line));
    if (!members) throw new Refusal('bad-request', 'the line is not a request');
    const fields = new Map(members);
    const id = fields.get('id') ?? 'null';
    try {
      const op = parsed(fields.get('op'));
      if (typeof op !== 'string') throw new Refusal('bad-request', '`op` must be a string');
      return new Request(id, op, fields);
    } catch (error) {
      if (error instanceof Refusal) error.id = id;
      throw error;
    }
  }

  /**
   * A field as it came; undefined: it is not there.
   *
   * @param {string} name
   */
  raw(name) {
    return this.fields.get(name);
  }

  /**
   * A field as a value; null counts as not there.
   *
   * @param {string} name
   * @returns {any}
   */
  value(name) {
    return parsed(this.fields.get(name)) ?? undefined;
  }

  /**
   * @param {string} name
   * @returns {string | undefined}
   */
  string(name) {
    return this.#typed(name, 'a string', (value) => typeof value === 'string');
  }

  /**
   * @param {string} name
   * @returns {boolean | undefined}
   */
  boolean(name) {
    return this.#typed(name, 'true or false', (value) => typeof value === 'boolean');
  }

  /**
   * A whole number that is not negative.
   *
   * @param {string} name
   * @returns {number | undefined}
   */
  number(name) {
    return this.#typed(name, 'a whole number', (value) => Number.isInteger(value) && Number(value) >= 0);
  }

  /**
   * A field that has to be there, as a string.
   *
   * @param {string} name
   * @returns {string}
   */
  required(name) {
    const value = this.string(name);
    if (value === undefined) throw new Refusal('bad-request', `missing field \`${name}\``);
    return value;
  }

  /**
   * @param {string} name
   * @param {string} what
   * @param {(value: unknown) => boolean} fits
   */
  #typed(name, what, fits) {
    const value = this.value(name);
    if (value !== undefined && !fits(value)) throw new Refusal('bad-request', `\`${name}\` must be ${what}`);
    return value;
  }
}

/**
 * @param {string | undefined} text
 * @returns {any}
 */
function parsed(text) {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    // `members` has read it: what is left is a value that this language has no room for.
    throw new Refusal('bad-request', 'a field cannot be read');
  }
}

/**
 * A finding on the wire.
 *
 * @param {import('../errors.js').Diagnostic} found
 */
export function finding({ severity, code, message, document, line, column, endLine, endColumn, help }) {
  return { severity, code, message, document, line, column, end_line: endLine, end_column: endColumn, help };
}

/**
 * @param {string} id
 * @param {unknown} error
 */
export function refusalText(id, error) {
  const code = error instanceof EdictumError ? error.code : 'internal';
  /** @type {import('../errors.js').Diagnostic[]} */
  const found = error instanceof EdictumError && 'diagnostics' in error ? /** @type {any} */ (error).diagnostics : [];
  const first = found.find(({ severity }) => severity === 'error') ?? found[0];
  const said = {
    code,
    message: messageOf(error),
    line: first?.line,
    column: first?.column,
    help: first?.help,
    diagnostics: found.length > 0 ? found.map(finding) : undefined,
  };
  return `{"id":${id},"ok":false,"error":${JSON.stringify(said)}}\n`;
}
