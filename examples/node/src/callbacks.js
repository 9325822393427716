/**
 * What a program may answer for itself: operators, selectors, hooks, whether a tool succeeded, whose call it is. A callback may
 * be async; one that throws, answers nonsense or takes too long has not answered, and the call is blocked.
 */

import { messageOf } from './errors.js';
import { jsonOf } from './json.js';
import { within } from './wait.js';

/** What a hook says. */
export class HookDecision {
  /**
   * @param {'pass' | 'skip' | 'refuse'} verdict
   * @param {string} [reason]
   */
  constructor(verdict, reason) {
    this.verdict = verdict;
    this.reason = reason;
  }

  /** Nothing against it. */
  static allow() {
    return new HookDecision('pass');
  }

  /** The hook's own condition did not hold; it leaves no record. */
  static skip() {
    return new HookDecision('skip');
  }

  /**
   * Not so, and why.
   *
   * @param {string} reason
   */
  static deny(reason) {
    return new HookDecision('refuse', String(reason));
  }
}

/**
 * The call as the engine sees it, for callbacks: a value, with all that a value of JavaScript loses of a JSON text.
 *
 * @typedef {Record<string, any>} ToolCall
 */

/**
 * @typedef {object} Hook
 * @property {string} name what `decisionName` shows when it refuses
 * @property {string} [tools] glob of the tools it is asked about; default `*`
 * @property {(call: ToolCall) => HookDecision | boolean | Promise<HookDecision | boolean>} [before] asked before a tool runs;
 *   `true` lets it pass, `false` refuses
 * @property {(call: ToolCall, output: unknown) => unknown} [after] told after it ran
 */

/**
 * Everything that a program answers for one guard.
 *
 * @typedef {object} Callbacks
 * @property {Record<string, (value: any, operand: any) => boolean | Promise<boolean>>} [operators]
 * @property {Record<string, (call: ToolCall) => object | Promise<object>>} [selectors] by prefix; each gives a map
 * @property {Hook[]} [hooks] in the order in which they count
 * @property {(tool: string, output: any) => boolean | Promise<boolean>} [successCheck]
 * @property {(tool: string, args: any) => object | null | Promise<object | null>} [principalResolver]
 */

/** @typedef {{ok: any} | {err: string}} Answered */

/**
 * Runs a callback to its end. `read` makes JSON text of what it gave, or throws.
 *
 * @param {number} deadline
 * @param {() => unknown} callback
 * @param {(given: any) => string} read
 * @returns {Promise<string>} `{"ok": …}` or `{"err": …}`
 */
export async function answered(deadline, callback, read) {
  try {
    const given = await within(deadline, Promise.resolve(callback()).then((value) => ({ value })));
    if (!given) return '{"err":"no answer in time"}';
    return `{"ok":${read(given.value)}}`;
  } catch (error) {
    return `{"err":${JSON.stringify(messageOf(error))}}`;
  }
}

/** @param {unknown} given */
export function asBoolean(given) {
  if (typeof given !== 'boolean') throw new Error('the callback gave no boolean');
  return String(given);
}

/** @param {unknown} given */
export function asMap(given) {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) throw new Error('the callback gave no object');
  return jsonOf(given, 'the answer of a callback');
}

/** @param {unknown} given */
export function asPrincipal(given) {
  return given === null || given === undefined ? 'null' : asMap(given);
}

/** @param {unknown} given */
export function asVerdict(given) {
  if (given === true) return '"pass"';
  if (given === false) return '{"refuse":""}';
  if (!(given instanceof HookDecision)) throw new Error('the hook gave no decision');
  return given.verdict === 'refuse' ? `{"refuse":${JSON.stringify(given.reason)}}` : `"${given.verdict}"`;
}
