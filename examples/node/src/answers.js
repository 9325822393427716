/**
 * Answers to what the engine asks: all questions of an inquiry at the same time, each in its own way of waiting. What cannot
 * be answered is said so, and the engine blocks the call.
 */

import { answered, asBoolean, asMap, asPrincipal, asVerdict } from './callbacks.js';
import { messageOf } from './errors.js';
import { readLinks } from './links.js';
import { runCommand } from './process.js';
import { within } from './wait.js';

/** Longer than a store waits for other processes, in milliseconds. */
export const STORE_DEADLINE = 30_000;

/**
 * Whom questions of one step are for.
 *
 * @typedef {object} Respondent
 * @property {import('./callbacks.js').Callbacks} callbacks
 * @property {number} deadline of a callback, in milliseconds
 * @property {import('./store.js').Store} store
 * @property {import('./guard.js').Sessions} [sessions] instead of the store
 * @property {string} session
 * @property {number} sessionTtl
 * @property {number} now
 * @property {string} [call] absent in an operation on a session
 * @property {string} [cwd]
 */

/**
 * One answer for each question, in their order, as JSON text.
 *
 * @param {Respondent} respondent
 * @param {any[]} questions as in `wit/schemas/inquiry.schema.json`
 */
export async function answers(respondent, questions) {
  const given = await Promise.all(questions.map((question) => one(respondent, question)));
  return `[${given.join(',')}]`;
}

/**
 * @param {Respondent} respondent
 * @param {any} question
 * @returns {Promise<string>}
 */
async function one(respondent, question) {
  try {
    if (question === 'principal') return `{"principal":${await principal(respondent)}}`;
    if (question.session) return await session(respondent, question.session);
    if (question.read_links) return await links(respondent, question.read_links);
    if (question.selectors) return `{"selectors":${await selectors(respondent, question.selectors)}}`;
    if (question.operators) return `{"operators":${await operators(respondent, question.operators)}}`;
    if (question.hooks) return `{"hooks":${await hooks(respondent, question.hooks)}}`;
    if (question.command) return await command(respondent, question.command);
    return failed('the host does not know this question');
  } catch (error) {
    return failed(messageOf(error));
  }
}

/** @param {string} reason */
function failed(reason) {
  return `{"failed":${JSON.stringify(reason)}}`;
}

/**
 * @param {Respondent} respondent
 * @param {import('./store.js').Operation[]} operations
 */
async function session({ store, sessions, session, sessionTtl, now }, operations) {
  // It has deadlines of its own.
  if (sessions) return `{"session":${JSON.stringify(await sessions.perform(operations))}}`;
  const performed = store.perform({ session, now, expires: now + sessionTtl }, operations);
  const outcomes = performed instanceof Promise ? await within(STORE_DEADLINE, performed) : performed;
  return outcomes ? `{"session":${JSON.stringify(outcomes)}}` : failed('no answer in time');
}

/**
 * @param {Respondent} respondent
 * @param {string[]} paths
 */
async function links({ deadline }, paths) {
  const found = await within(deadline, readLinks(paths));
  return found ? `{"read_links":${JSON.stringify(found)}}` : failed('no answer in time');
}

/** @param {Respondent} respondent */
async function principal({ callbacks, deadline, call }) {
  const resolver = callbacks.principalResolver;
  if (!resolver || call === undefined) return '{"err":"there is no principal resolver"}';
  const { tool, args } = JSON.parse(call);
  return answered(deadline, () => resolver(tool, args), asPrincipal);
}

/**
 * @param {Respondent} respondent
 * @param {{prefixes: string[], call: any}} query
 */
async function selectors({ callbacks, deadline }, { prefixes, call }) {
  return each(prefixes, (prefix) => {
    const selector = own(callbacks.selectors, prefix);
    return selector ? answered(deadline, () => selector(call), asMap) : '{"err":"there is no such selector"}';
  });
}

/**
 * @param {Respondent} respondent
 * @param {{name: string, value: any, operand: any}[]} calls
 */
async function operators({ callbacks, deadline }, calls) {
  return each(calls, ({ name, value, operand }) => {
    const operator = own(callbacks.operators, name);
    return operator ? answered(deadline, () => operator(value, operand), asBoolean) : '{"err":"there is no such operator"}';
  });
}

/**
 * @param {Respondent} respondent
 * @param {{name: string, phase: string, call: any, output?: any}[]} calls
 */
async function hooks({ callbacks, deadline }, calls) {
  return each(calls, ({ name, phase, call, output }) => {
    if (phase === 'success_check') {
      const check = callbacks.successCheck;
      if (!check) return '{"err":"there is no success check"}';
      const verdict = (/** @type {unknown} */ given) => (asBoolean(given) === 'true' ? '"pass"' : '{"refuse":""}');
      return answered(deadline, () => check(call.tool, output), verdict);
    }
    const hook = callbacks.hooks?.find((hook) => hook.name === name);
    if (phase === 'before' && hook?.before) return answered(deadline, () => hook.before?.(call), asVerdict);
    if (phase === 'after' && hook?.after) return answered(deadline, () => hook.after?.(call, output), () => '"pass"');
    return '{"err":"there is no such hook"}';
  });
}

/**
 * @param {Respondent} respondent
 * @param {import('./process.js').CommandLine} line
 */
async function command({ cwd }, line) {
  try {
    return `{"command":{"ok":${JSON.stringify(await runCommand(line, cwd))}}}`;
  } catch (error) {
    return `{"command":{"err":${JSON.stringify(messageOf(error))}}}`;
  }
}

/**
 * @template T
 * @param {T[]} asked
 * @param {(one: T) => string | Promise<string>} ask
 */
async function each(asked, ask) {
  return `[${(await Promise.all(asked.map(ask))).join(',')}]`;
}

/**
 * @template T
 * @param {Record<string, T> | undefined} map
 * @param {string} name
 * @returns {T | undefined}
 */
function own(map, name) {
  return map && Object.hasOwn(map, name) ? map[name] : undefined;
}
