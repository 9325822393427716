/** `hello`, `check`, `templates`: what needs no guard. */

import { readFileSync } from 'node:fs';

import { rulesetsOf } from './open.js';
import { finding } from './protocol.js';

/** The optional parts of the protocol that this host has. */
const CAPABILITIES = ['open_server', 'path', 'workflow'];

export function hello() {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  return JSON.stringify({ protocol: 1, host: 'node', version, capabilities: CAPABILITIES });
}

/**
 * @param {import('./session.js').Session} session
 * @param {import('./protocol.js').Request} request
 */
export function check(session, request) {
  const options = { ...request.value('options') };
  const registry = request.value('registry');
  if (registry !== undefined) options.registry = registry;
  const workflow = request.string('workflow');
  const source = {
    rulesets: rulesetsOf(request).map(({ name, text }) => ({ name, text })),
    workflow: workflow === undefined ? undefined : { name: 'workflow', text: workflow },
    options: JSON.stringify(options),
  };
  const found = session.engine.ask((decider) => decider.check(source));
  return JSON.stringify({ diagnostics: found.map(finding) });
}

/** @param {import('./session.js').Session} session */
export function templates(session) {
  const found = session.engine.ask((decider) => decider.templates());
  return JSON.stringify({ templates: found.map(({ name, text }) => ({ name, yaml: text })) });
}
