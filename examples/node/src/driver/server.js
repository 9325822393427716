/** `open_server`, `health`, `flush`: guards whose rules, sessions, approvals and log are on edictum-api. */

import { EventBuffer } from '../events.js';
import { connect, healthOf } from '../server/connect.js';
import { storeOf } from './open.js';
import { Refusal } from './protocol.js';

/** How long a `flush` takes at most, unless it says otherwise, in milliseconds. */
const FLUSH = 10_000;

/** @typedef {import('./session.js').Session} Session */
/** @typedef {import('./protocol.js').Request} Request */

/**
 * @param {Session} session
 * @param {Request} request
 */
export async function openServer(session, request) {
  const name = request.required('guard');
  await session.close(name);
  if (request.value('plugins')?.length > 0) throw new Refusal('unsupported', 'this host has no plugins yet');
  const options = { ...request.value('options') };
  if (request.value('compat') !== undefined) options.compat = request.value('compat');
  if (request.boolean('exec_enabled')) options.exec_enabled = true;
  const chosen = request.value('store');
  const onServer = chosen === undefined || chosen === 'server';
  const { store, folder } = onServer ? {} : await storeOf(session, chosen, options.durable === true);
  const workflow = request.string('workflow');
  const events = new EventBuffer();
  let connected;
  try {
    connected = await connect(serverOf(request), {
      sessions: onServer ? 'server' : 'host',
      approvals: oneOf(request, 'approvals', ['server', 'host', 'none']),
      log: oneOf(request, 'decision_log', ['server', 'local']) === 'local' ? 'host' : 'server',
    }, {
      name,
      workflow: workflow === undefined ? undefined : { name: 'workflow', text: workflow },
      options,
      store,
      sink: events,
      engine: session.engine,
    });
  } catch (error) {
    if (folder !== undefined) await session.releaseStore(folder);
    throw error;
  }
  const { guard } = connected;
  const { policy_version, bundle_name } = await healthOf(connected);
  session.insert(name, { guard, events, ruleset: bundle_name ?? 'rules', calls: new Map(), folder, connected });
  return JSON.stringify({ policy_version, bundle_name: bundle_name ?? null });
}

/**
 * @param {Request} request
 * @returns {import('../server/connect.js').ServerOptions}
 */
function serverOf(request) {
  const mode = request.string('mode');
  if (mode !== undefined && mode !== 'enforce' && mode !== 'observe') {
    throw new Refusal('bad-request', '`mode` is enforce or observe');
  }
  return {
    url: request.required('url'),
    apiKey: request.required('api_key'),
    agentId: request.string('agent_id'),
    env: request.string('env'),
    bundleName: request.string('bundle_name'),
    tags: request.value('tags'),
    mode,
    autoWatch: request.boolean('auto_watch'),
    allowInsecure: request.boolean('allow_insecure'),
    verifySignatures: request.boolean('verify_signatures'),
    signingPublicKeys: request.value('signing_public_keys'),
  };
}

/**
 * @template {string} T
 * @param {Request} request
 * @param {string} name
 * @param {[T, ...T[]]} choices the first is the default
 * @returns {T}
 */
function oneOf(request, name, choices) {
  const given = request.string(name) ?? choices[0];
  const chosen = choices.find((choice) => choice === given);
  if (chosen === undefined) throw new Refusal('bad-request', `\`${name}\` is one of ${choices.join(', ')}`);
  return chosen;
}

/**
 * @param {Session} session
 * @param {Request} request
 */
export async function health(session, request) {
  const { guard, connected } = session.guard(request.required('guard'));
  if (connected) return JSON.stringify(await healthOf(connected));
  return JSON.stringify({
    policy_version: guard.policyVersion, stream: 'off', log: 'off', unsent_events: 0, rules_age_s: 0, from_memory: false,
  });
}

/**
 * @param {Session} session
 * @param {Request} request
 */
export async function flush(session, request) {
  const { connected } = session.guard(request.required('guard'));
  const within = request.number('timeout_ms') ?? FLUSH;
  return JSON.stringify({ unsent_events: (await connected?.log?.flush(within)) ?? 0 });
}
