/** `evaluate`, `begin`, `approve`, `finish`: a call from its dry run to its end. */

import { fields } from '../json.js';
import { Refusal } from './protocol.js';

/** @typedef {import('./session.js').Session} Session */
/** @typedef {import('./session.js').Open} Open */
/** @typedef {import('./protocol.js').Request} Request */

/**
 * The call as it came: an object, whatever is in it.
 *
 * @param {Request} request
 */
function callOf(request) {
  const call = request.raw('call');
  if (call === undefined) throw new Refusal('bad-request', 'missing field `call`');
  if (!call.startsWith('{')) throw new Refusal('bad-request', '`call` must be a JSON object');
  return call;
}

/**
 * @param {Session} session
 * @param {Request} request
 */
export function evaluate(session, request) {
  const { guard } = session.guard(request.required('guard'));
  return guard.evaluate(callOf(request), request.raw('output'));
}

/**
 * @param {Session} session
 * @param {Request} request
 */
export async function begin(session, request) {
  const open = session.guard(request.required('guard'));
  const sessionId = request.required('session_id');
  const decision = await open.guard.begin({
    call: callOf(request),
    sessionId,
    callId: request.string('call_id'),
    parentSessionId: request.string('parent_session_id'),
  });
  if (decision.action === 'block') open.calls.delete(decision.callId);
  else open.calls.set(decision.callId, sessionId);
  if (decision.action === 'ask' && request.boolean('hold')) return wait(open, decision.callId);
  return decidedText(decision);
}

/**
 * @param {Session} session
 * @param {Request} request
 */
export async function approve(session, request) {
  const open = session.guard(request.required('guard'));
  const callId = request.required('call_id');
  const outcome = request.string('outcome');
  if (outcome === undefined) return wait(open, callId);
  if (outcome !== 'approved' && outcome !== 'rejected' && outcome !== 'timed_out') {
    throw new Refusal('bad-request', '`outcome` is approved, rejected or timed_out');
  }
  const approver = request.string('approver');
  const reason = request.string('reason');
  const decision = await open.guard.settle(callId, { verdict: outcome, approver, reason });
  if (decision.action === 'block') open.calls.delete(callId);
  return decidedText(decision);
}

/**
 * Answers when the call is settled, by another request or by its deadline.
 *
 * @param {Open} open
 * @param {string} callId
 */
function wait(open, callId) {
  const settled = open.guard.settled(callId);
  const later = settled.then((decision) => {
    if (decision.action === 'block') open.calls.delete(callId);
    return decidedText(decision);
  });
  return { later };
}

/**
 * What is shown of a decision.
 *
 * @param {import('../decision.js').Decision} decision
 */
function decidedText(decision) {
  const { callId, action, reason, observed, policyError } = decision;
  const parts = [
    `"call_id":${JSON.stringify(callId)}`,
    `"action":"${action}"`,
    `"reason":${JSON.stringify(reason)}`,
    `"decision_source":${decision.raw('decision_source') ?? 'null'}`,
    `"decision_name":${decision.raw('decision_name') ?? 'null'}`,
    `"observed":${observed}`,
    `"policy_error":${policyError}`,
    `"rules_evaluated":${decision.raw('rules_evaluated') ?? '[]'}`,
  ];
  if (decision.approval !== undefined) {
    const { message, timeout, timeout_action, stage_id } = fields(decision.approval);
    const stage = stage_id === undefined ? '' : `,"stage_id":${stage_id}`;
    parts.push(`"approval":{"message":${message},"timeout":${timeout},"timeout_action":${timeout_action}${stage}}`);
  }
  const workflow = decision.raw('workflow');
  if (workflow !== undefined) parts.push(`"workflow":${workflow}`);
  return `{${parts.join(',')}}`;
}

/**
 * @param {Session} session
 * @param {Request} request
 */
export async function finish(session, request) {
  const open = session.guard(request.required('guard'));
  const callId = request.required('call_id');
  const output = request.raw('result') ?? 'null';
  const conclusion = await open.guard.finish(callId, { output, success: request.boolean('success') });
  open.calls.delete(callId);
  const { success, passed, warnings, replacement } = conclusion;
  return `{${[
    `"success":${success}`,
    `"postconditions_passed":${passed}`,
    `"warnings":${JSON.stringify(warnings)}`,
    `"result":${replacement ?? output}`,
    `"redacted":${conclusion.raw('redacted') ?? false}`,
    `"suppressed":${conclusion.raw('suppressed') ?? false}`,
    `"rules_evaluated":${conclusion.raw('rules_evaluated') ?? '[]'}`,
    `"findings":${conclusion.raw('findings') ?? '[]'}`,
  ].join(',')}}`;
}
