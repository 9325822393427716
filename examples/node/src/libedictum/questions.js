/** What the library asks a guard's program: operators, selectors, hooks, the success check, the principal. */

import { answered, asBoolean, asMap, asPrincipal, asVerdict } from '../callbacks.js';

/** @typedef {import('../callbacks.js').Callbacks} Callbacks */

/**
 * What the program answers for, as a setup names it.
 *
 * @param {Callbacks} callbacks
 * @returns {[string, string?][]}
 */
export function entriesOf({ operators = {}, selectors = {}, hooks = [], successCheck, principalResolver }) {
  /** @type {[string, string?][]} */
  const entries = [];
  for (const name of Object.keys(operators)) entries.push(['operator', name]);
  for (const prefix of Object.keys(selectors)) entries.push(['selector', prefix]);
  for (const { name, tools = '*', before, after } of hooks) {
    entries.push(['hook', JSON.stringify({ name, tools, before: before !== undefined, after: after !== undefined })]);
  }
  if (successCheck) entries.push(['success_check']);
  if (principalResolver) entries.push(['principal_resolver']);
  return entries;
}

/**
 * The answer to a question: `{"ok": …}` or `{"err": …}`.
 *
 * @param {Callbacks} callbacks
 * @param {number} deadline milliseconds
 * @param {string} about
 * @param {any} question
 * @returns {Promise<string>}
 */
export async function ask(callbacks, deadline, about, question) {
  switch (about) {
    case 'operator': {
      const { name, value, operand } = question;
      return answered(deadline, () => callbacks.operators?.[name]?.(value, operand), asBoolean);
    }
    case 'selector': {
      const { prefix, call } = question;
      return answered(deadline, () => callbacks.selectors?.[prefix]?.(call), asMap);
    }
    case 'hook': {
      const { name, phase, call, output } = question;
      const hook = callbacks.hooks?.find((hook) => hook.name === name);
      if (phase === 'after') return answered(deadline, () => hook?.after?.(call, output), () => '"pass"');
      return answered(deadline, () => hook?.before?.(call), asVerdict);
    }
    case 'success_check': {
      const { call, output } = question;
      return answered(deadline, () => callbacks.successCheck?.(call.tool, output), asBoolean);
    }
    case 'principal_resolver': {
      const { tool, args } = question;
      return answered(deadline, () => callbacks.principalResolver?.(tool, args), asPrincipal);
    }
    default:
      return '{"err":"nobody knows this question"}';
  }
}
