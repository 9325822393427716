/**
 * Between values of JavaScript's and the texts that the engine judges. What is judged is what runs: arguments are copied when
 * they are written down, and a tool gets the copy. What a tool returns is judged as all that it shows of itself.
 */

import { inspect } from 'node:util';

import { EdictumError } from './errors.js';
import { MAX_DEPTH, RawJson, jsonOf } from './json.js';

/**
 * Arguments of a tool as text, and as what the tool gets. A string is JSON text, and is handed on as it is.
 *
 * @param {unknown} args
 * @returns {{text: string, value: any}}
 */
export function argumentsOf(args) {
  if (typeof args === 'string') return argumentsOf(new RawJson(args));
  if (args instanceof RawJson) return { text: args.text, value: args.value() };
  if (args === undefined || args === null) return { text: '{}', value: {} };
  if (typeof args !== 'object' || Array.isArray(args)) throw new EdictumError('bad-request', '`args` must be an object');
  // What the caller changes later was not judged, and does not run.
  const copy = snapshot(args);
  return { text: jsonOf(copy, 'args'), value: thawed(copy) };
}

/**
 * A copy of plain data. What is no plain data, or too deep, stays as it is, to be refused.
 *
 * @param {any} value
 * @param {number} [depth]
 * @returns {any}
 */
function snapshot(value, depth = 0) {
  if (typeof value !== 'object' || value === null || value instanceof RawJson || depth > MAX_DEPTH) return value;
  const deeper = (/** @type {any} */ member) => snapshot(member, depth + 1);
  if (typeof value.toJSON === 'function') return deeper(value.toJSON(''));
  if (Array.isArray(value)) return Array.from(value, deeper);
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) return value;
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(members.map(([name, member]) => [name, deeper(member)]));
}

/**
 * The same with the values of raw texts.
 *
 * @param {any} value
 * @returns {any}
 */
function thawed(value) {
  if (value instanceof RawJson) return value.value();
  if (typeof value !== 'object' || value === null) return value;
  for (const [name, member] of Object.entries(value)) {
    if (typeof member === 'object') Object.defineProperty(value, name, { value: thawed(member) });
  }
  return value;
}

/**
 * What a tool returned, as text. What JSON has no words for is judged as Node would print it, so that nothing is hidden.
 *
 * @param {unknown} output
 */
export function outputOf(output) {
  if (output === undefined) return 'null';
  try {
    return jsonOf(output, 'output');
  } catch {
    const all = { depth: Infinity, maxArrayLength: null, maxStringLength: null, breakLength: Infinity, showHidden: false };
    return JSON.stringify(inspect(output, all));
  }
}

/**
 * A result of the engine's in JavaScript's habits: names in camelCase, but for what belongs to others.
 *
 * @param {unknown} value
 * @returns {any}
 */
export function camelCased(value) {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(camelCased);
  /** @type {Record<string, any>} */
  const cased = {};
  for (const [name, member] of Object.entries(value)) {
    cased[camelCase(name)] = FOREIGN.has(name) ? member : camelCased(member);
  }
  return cased;
}

/** The engine has few names. @type {Map<string, string>} */
const cases = new Map();

/** @param {string} name */
function camelCase(name) {
  let camel = cases.get(name);
  if (camel === undefined) {
    camel = name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
    if (cases.size < 1_000) cases.set(name, camel);
  }
  return camel;
}

/** Members whose names are not the engine's. */
const FOREIGN = new Set(['args', 'tool_args', 'metadata', 'claims', 'principal', 'tags']);
