/**
 * JSON texts that stay as they are. `cut` takes well-formed texts apart without reading their values: 1.0 stays 1.0.
 * `jsonOf` writes a value of a program's so that what is judged is what is there; what JSON has no words for it refuses.
 */

import { EdictumError } from './errors.js';

/**
 * The members of an object, in their order, as they came, also those that come twice.
 *
 * @param {string} text a well-formed JSON object
 * @returns {[name: string, value: string][]}
 */
export function cut(text) {
  /** @type {[string, string][]} */
  const members = [];
  let at = space(text, text.indexOf('{') + 1);
  while (text[at] === '"') {
    const end = past(text, at);
    const name = decoded(text.slice(at, end));
    const from = space(text, space(text, end) + 1);
    const to = past(text, from);
    members.push([name, text.slice(from, to)]);
    at = space(text, to);
    if (text[at] !== ',') break;
    at = space(text, at + 1);
  }
  return members;
}

/**
 * The same for somebody who looks members up; of several with one name the last.
 *
 * @param {string} text
 * @returns {Record<string, string | undefined>}
 */
export function fields(text) {
  /** @type {Record<string, string | undefined>} */
  const found = Object.create(null);
  for (const [name, value] of cut(text)) found[name] = value;
  return found;
}

/**
 * The elements of an array as they came.
 *
 * @param {string} text a well-formed JSON array
 */
export function elements(text) {
  /** @type {string[]} */
  const found = [];
  let at = space(text, text.indexOf('[') + 1);
  while (at < text.length && text[at] !== ']') {
    const to = past(text, at);
    found.push(text.slice(at, to));
    at = space(text, to);
    if (text[at] !== ',') break;
    at = space(text, at + 1);
  }
  return found;
}

/**
 * @param {string} text
 * @param {number} at
 */
function space(text, at) {
  for (;;) {
    const code = text.charCodeAt(at);
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return at;
    at += 1;
  }
}

/**
 * The place behind the value that begins here.
 *
 * @param {string} text
 * @param {number} at
 */
function past(text, at) {
  let depth = 0;
  for (; at < text.length; at += 1) {
    switch (text.charCodeAt(at)) {
      case 0x22: // "
        at = pastString(text, at) - 1;
        if (depth === 0) return at + 1;
        break;
      case 0x7b: // {
      case 0x5b: // [
        depth += 1;
        break;
      case 0x7d: // }
      case 0x5d: // ]
        if (depth === 0) return at;
        depth -= 1;
        if (depth === 0) return at + 1;
        break;
      case 0x2c: // ,
      case 0x20:
      case 0x0a:
      case 0x0d:
      case 0x09:
        if (depth === 0) return at;
        break;
      default:
    }
  }
  return at;
}

/**
 * @param {string} text
 * @param {number} at
 */
function pastString(text, at) {
  for (let end = text.indexOf('"', at + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let escapes = 0;
    while (text.charCodeAt(end - 1 - escapes) === 0x5c) escapes += 1;
    if (escapes % 2 === 0) return end + 1;
  }
  return text.length;
}

/** @param {string} name */
function decoded(name) {
  return name.includes('\\') ? JSON.parse(name) : name.slice(1, -1);
}

/** JSON text that somebody wrote, to be handed on as it is: numbers above 2^53 and 1.0 survive. */
export class RawJson {
  /** @param {string} text */
  constructor(text) {
    try {
      JSON.parse(text);
    } catch {
      // The parser's words may quote the text.
      throw new EdictumError('bad-request', 'the text is not JSON');
    }
    this.text = text;
    Object.freeze(this);
  }

  /** As a value, as well as JavaScript can have it. */
  value() {
    return JSON.parse(this.text);
  }
}

/** Deeper values are refused here; the engine has a bound of its own. */
export const MAX_DEPTH = 1_000;

/**
 * A value as JSON text, or an error where JSON would silently lose something.
 *
 * @param {unknown} value
 * @param {string} [what]
 * @returns {string}
 */
export function jsonOf(value, what = 'value') {
  return written(value, what, 0);
}

/**
 * @param {unknown} value
 * @param {string} what
 * @param {number} depth
 * @returns {string}
 */
function written(value, what, depth) {
  if (depth > MAX_DEPTH) throw unfit(what, 'is too deep');
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return JSON.stringify(value);
    case 'number':
      if (!Number.isFinite(value)) throw unfit(what, 'has a number that JSON cannot write');
      return JSON.stringify(value);
    case 'bigint':
      return value.toString();
    case 'object':
      break;
    default:
      throw unfit(what, `has a ${typeof value} in it`);
  }
  if (value === null) return 'null';
  if (value instanceof RawJson) return value.text;
  if (Array.isArray(value)) {
    // Not `map`, which leaves holes out.
    const parts = Array.from(value, (element) => (element === undefined ? 'null' : written(element, what, depth + 1)));
    return `[${parts.join(',')}]`;
  }
  const { toJSON } = /** @type {{toJSON?: unknown}} */ (value);
  if (typeof toJSON === 'function') return written(toJSON.call(value, ''), what, depth + 1);
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
    throw unfit(what, `has a ${prototype.constructor?.name ?? 'strange object'} in it`);
  }
  const parts = [];
  for (const [name, member] of Object.entries(value)) {
    if (member !== undefined) parts.push(`${JSON.stringify(name)}:${written(member, what, depth + 1)}`);
  }
  return `{${parts.join(',')}}`;
}

/**
 * @param {string} what
 * @param {string} why
 */
function unfit(what, why) {
  return new EdictumError('bad-request', `\`${what}\` ${why}`);
}
