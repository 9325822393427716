/**
 * How a guard's rules are loaded: rulesets, options, what the program answers for. The options document is the engine's to
 * check; here it only gets the names of what the program answers for.
 */

import { EdictumConfigError } from '../errors.js';

/**
 * A ruleset as it was written.
 *
 * @typedef {object} Ruleset
 * @property {string} name shown in diagnostics: a path or a name
 * @property {string} text YAML
 * @property {string | null} [signature] Ed25519 over exactly the text's bytes, base64 or hex
 */

/**
 * What a reload needs again.
 *
 * @typedef {object} Recipe
 * @property {{name: string, text: string}} [workflow]
 * @property {Record<string, any>} options
 * @property {import('../callbacks.js').Callbacks} callbacks
 */

/**
 * Options with all that the host adds to them.
 *
 * @param {Record<string, any>} given
 * @param {import('../callbacks.js').Callbacks} callbacks
 */
export function optionsOf(given, callbacks) {
  const options = { ...given };
  announceNames(options, 'operators', Object.keys(callbacks.operators ?? {}));
  announceNames(options, 'selectors', Object.keys(callbacks.selectors ?? {}));
  const hooks = (callbacks.hooks ?? []).map(({ name, tools = '*', before, after }) => {
    return { name, tools, before: before !== undefined, after: after !== undefined };
  });
  if (hooks.length > 0) options.hooks = hooks;
  else if (options.hooks?.length > 0) throw unsupported('the options name hooks that nobody answers for');
  announce(options, 'success_check', callbacks.successCheck !== undefined);
  announce(options, 'principal_resolver', callbacks.principalResolver !== undefined);
  // Relative paths and `~` mean what they mean to this process, unless the options say otherwise.
  options.cwd ??= workingDirectory();
  const home = process.env.HOME;
  if (home?.startsWith('/')) options.home ??= home;
  return options;
}

function workingDirectory() {
  try {
    return process.cwd();
  } catch {
    return undefined;
  }
}

/**
 * @param {Record<string, any>} options
 * @param {string} kind
 * @param {string[]} answered
 */
function announceNames(options, kind, answered) {
  const named = Array.isArray(options[kind]) ? options[kind] : [];
  const missing = named.find((/** @type {unknown} */ name) => typeof name === 'string' && !answered.includes(name));
  if (missing !== undefined) throw unsupported(`the options name \`${missing}\` in \`${kind}\`, and nobody answers for it`);
  if (answered.length > 0) options[kind] = [...answered].sort();
}

/**
 * @param {Record<string, any>} options
 * @param {string} name
 * @param {boolean} answered
 */
function announce(options, name, answered) {
  if (options[name] === true && !answered) throw unsupported(`the options say \`${name}\`, and nobody answers for it`);
  if (answered) options[name] = true;
}

/**
 * Loads a policy. The caller uses it.
 *
 * @param {import('../engine.js').Engine} engine
 * @param {Ruleset[]} rulesets
 * @param {Recipe} recipe
 */
export async function load(engine, rulesets, recipe) {
  const { workflow, options, callbacks } = recipe;
  verify(engine, rulesets, options);
  const texts = rulesets.map(({ name, text }) => ({ name, text }));
  const source = { rulesets: texts, workflow, options: JSON.stringify(options) };
  let policy = await engine.policy(source);
  if (!Object.hasOwn(options, 'env') && policy.env.length > 0) {
    const env = environment(policy.env);
    engine.release(policy);
    policy = await engine.policy({ ...source, options: JSON.stringify({ ...options, env }) });
  }
  for (const [need, what] of Object.entries(policy.needs)) {
    const missing = unanswered(need, what, callbacks);
    if (missing === undefined) continue;
    engine.release(policy);
    throw unsupported(`the rules need an answer that this guard cannot give: ${missing}`);
  }
  return policy;
}

/**
 * For the policy that comes after this one: tools that have a class keep it, unless the new rulesets say otherwise, also of
 * those that the options name.
 *
 * @param {Recipe} recipe
 * @param {import('../policy.js').Policy} policy
 * @returns {Recipe}
 */
export function after(recipe, policy) {
  const { tools: _, ...options } = recipe.options;
  return { ...recipe, options: { ...options, tools_before: policy.tools } };
}

/**
 * What this process sees of these variables.
 *
 * @param {string[]} names
 */
function environment(names) {
  return Object.fromEntries(names.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])));
}

/** @type {Record<string, string>} */
const WHY = {
  'missing-signature': 'it has no signature',
  'malformed-signature': 'its signature is malformed',
  'malformed-key': 'a trusted key is malformed',
  'no-trusted-key': 'there is no trusted key',
  mismatch: 'its signature does not match',
};

/**
 * @param {import('../engine.js').Engine} engine
 * @param {Ruleset[]} rulesets
 * @param {Record<string, any>} options
 */
function verify(engine, rulesets, { verify_signatures: wanted, signing_public_keys: keys }) {
  if (wanted === undefined || wanted === null || wanted === false) return;
  if (wanted !== true) throw new EdictumConfigError('bad-request', '`verify_signatures` is true or false');
  if (!Array.isArray(keys) || keys.length === 0 || keys.some((key) => typeof key !== 'string')) {
    throw new EdictumConfigError('unauthorized', '`verify_signatures` needs `signing_public_keys`');
  }
  for (const { name, text, signature } of rulesets) {
    const verified = engine.ask((decider) => decider.verify(text, signature ?? '', keys));
    if ('error' in verified) {
      const why = WHY[verified.error] ?? verified.error;
      throw new EdictumConfigError('unauthorized', `ruleset \`${name}\`: ${why}`);
    }
  }
}

/**
 * The part of a need that nobody answers for. A need that this host has never heard of is one.
 *
 * @param {string} need
 * @param {unknown} what
 * @param {import('../callbacks.js').Callbacks} callbacks
 * @returns {string | undefined}
 */
function unanswered(need, what, callbacks) {
  if (what === false) return undefined;
  const names = Array.isArray(what) ? what : [];
  const missing = (/** @type {(name: string) => unknown} */ answered) => {
    const name = names.find((name) => !answered(name));
    return name === undefined ? undefined : `\`${name}\` of \`${need}\``;
  };
  switch (need) {
    case 'session':
    case 'read_links':
    case 'command':
      return undefined;
    case 'principal':
      return callbacks.principalResolver ? undefined : '`principal`';
    case 'success_check':
      return callbacks.successCheck ? undefined : '`success_check`';
    case 'selectors':
      return missing((name) => Object.hasOwn(callbacks.selectors ?? {}, name));
    case 'operators':
      return missing((name) => Object.hasOwn(callbacks.operators ?? {}, name));
    case 'hooks_before':
    case 'hooks_after':
      return missing((name) => callbacks.hooks?.some((hook) => hook.name === name));
    default:
      return Array.isArray(what) && what.length === 0 ? undefined : `\`${need}\``;
  }
}

/** @param {string} message */
function unsupported(message) {
  return new EdictumConfigError('unsupported', message);
}
