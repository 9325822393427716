/**
 * `open`, `reload`, `close`: guards come and go. The fields of `open` are members of the options document, laid over the one
 * that it may bring.
 */

import { EventBuffer } from '../events.js';
import { Guard } from '../guard.js';
import { fields } from '../json.js';
import { MemoryStore } from '../store/memory.js';
import { Refusal } from './protocol.js';

/** Fields that win over the options document. */
const NAMED = [
  'mode', 'environment', 'tools', 'limits', 'env', 'exec_enabled', 'verify_signatures', 'signing_public_keys', 'registry',
  'compat',
];

/**
 * @param {import('./session.js').Session} session
 * @param {import('./protocol.js').Request} request
 */
export async function open(session, request) {
  const name = request.required('guard');
  const rulesets = rulesetsOf(request);
  const workflow = request.string('workflow');
  const options = { ...request.value('options') };
  for (const field of NAMED) {
    const value = request.value(field);
    if (value !== undefined) options[field] = value;
  }
  await session.close(name);
  if (request.value('plugins')?.length > 0) throw new Refusal('unsupported', 'this host has no plugins yet');
  const { store, folder } = await storeOf(session, request.value('store'), options.durable === true);
  const events = new EventBuffer();
  const principal = request.value('principal') === undefined ? undefined : request.raw('principal');
  let guard;
  try {
    guard = await Guard.open({
      name,
      rulesets,
      workflow: workflow === undefined ? undefined : { name: 'workflow', text: workflow },
      options,
      principal,
      store,
      sink: events,
      engine: session.engine,
    });
  } catch (error) {
    if (folder !== undefined) await session.releaseStore(folder);
    throw error;
  }
  session.insert(name, { guard, events, ruleset: rulesets[0]?.name ?? 'rules', calls: new Map(), folder });
  const { rules = '[]', report = 'null' } = fields(guard.summary);
  const ids = JSON.parse(rules).map((/** @type {{id: string}} */ rule) => rule.id);
  return `{"policy_version":${JSON.stringify(guard.policyVersion)},"rules":${JSON.stringify(ids)},"report":${report}}`;
}

/**
 * @param {import('./protocol.js').Request} request
 * @returns {import('../guard/recipe.js').Ruleset[]}
 */
export function rulesetsOf(request) {
  const rulesets = request.value('rulesets');
  if (!Array.isArray(rulesets)) throw new Refusal('bad-request', 'missing field `rulesets`');
  return rulesets.map((ruleset) => {
    const { name, yaml, signature } = ruleset ?? {};
    const signed = signature === undefined || signature === null || typeof signature === 'string';
    if (typeof name !== 'string' || typeof yaml !== 'string' || !signed) {
      throw new Refusal('bad-request', 'a ruleset has `name`, `yaml` and perhaps `signature`, all texts');
    }
    return { name, text: yaml, signature };
  });
}

/**
 * `"memory"`, `{"path": folder}`, or an address.
 *
 * @param {import('./session.js').Session} session
 * @param {unknown} choice
 * @param {boolean} durable
 * @returns {Promise<{store: import('../store.js').Store, folder?: string}>}
 */
export async function storeOf(session, choice, durable) {
  if (choice === undefined || choice === 'memory') return { store: new MemoryStore() };
  if (typeof choice === 'string') throw new Refusal('unsupported', 'this host has stores in memory and in a folder');
  const path = /** @type {{path?: unknown}} */ (choice).path;
  if (typeof path !== 'string' || path === '') throw new Refusal('bad-request', 'store: the path must be a text, and not empty');
  return session.store(path, durable);
}

/**
 * @param {import('./session.js').Session} session
 * @param {import('./protocol.js').Request} request
 */
export async function reload(session, request) {
  const { guard, ruleset } = session.guard(request.required('guard'));
  const text = request.required('yaml');
  const policyVersion = await guard.reload([{ name: ruleset, text, signature: request.string('signature') }]);
  return JSON.stringify({ policy_version: policyVersion });
}

/**
 * @param {import('./session.js').Session} session
 * @param {import('./protocol.js').Request} request
 */
export async function close(session, request) {
  const name = request.required('guard');
  session.guard(name);
  return JSON.stringify({ unsent_events: await session.close(name) });
}
