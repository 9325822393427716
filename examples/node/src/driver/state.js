/** `counters`, `workflow` and `events`: what a guard has counted, where its sessions stand, and what it said. */

import { Refusal } from './protocol.js';

/** @typedef {import('./session.js').Session} Session */
/** @typedef {import('./protocol.js').Request} Request */

/**
 * @param {Session} session
 * @param {Request} request
 */
export function counters(session, request) {
  const { guard } = session.guard(request.required('guard'));
  const set = request.value('set') === undefined ? '' : `,"set":${request.raw('set')}`;
  return guard.operate(request.required('session_id'), `{"do":"counters"${set}}`);
}

/**
 * The command goes to the engine as it came; it says what is wrong with it.
 *
 * @param {Session} session
 * @param {Request} request
 */
export function workflow(session, request) {
  const sessionId = request.required('session_id');
  const operation = request.required('do');
  if (operation === 'counters') throw new Refusal('bad-request', 'counters are an operation of their own');
  const stage = request.string('stage_id');
  const parts = [`"do":${JSON.stringify(operation)}`];
  if (stage !== undefined) parts.push(`"stage_id":${JSON.stringify(stage)}`);
  if (request.value('state') !== undefined) parts.push(`"state":${request.raw('state')}`);
  return session.guard(request.required('guard')).guard.operate(sessionId, `{${parts.join(',')}}`);
}

/**
 * @param {Session} session
 * @param {Request} request
 */
export function events(session, request) {
  const { events, dropped } = session.guard(request.required('guard')).events.take();
  if (dropped > 0) events.unshift(`{"gap":{"count":${dropped}}}`);
  return `{"events":[${events.join(',')}]}`;
}
