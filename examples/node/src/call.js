/**
 * The text of a call: the members that the caller gave, as they came, and the host's own beside them. Nothing is parsed and
 * printed again: 1.0 stays 1.0, and 12345678901234567890 stays itself.
 */

import { cut } from './json.js';

/** Members that are the host's: what a caller writes there is left out. */
export const HOST_MEMBERS = ['session_id', 'call_id', 'parent_session_id', 'agent_id', 'static_principal'];

/**
 * One call to be judged.
 *
 * @typedef {object} CallRequest
 * @property {string} call a JSON object (`wit/schemas/call.schema.json`), well-formed
 * @property {string} [sessionId] absent: the guard's own session
 * @property {string} [callId] absent: a new one; unique in the guard
 * @property {string} [parentSessionId] the session that started this one
 */

/**
 * The call's text for the engine: the caller's members without those of `HOST_MEMBERS`, and then these.
 *
 * @param {string} call a well-formed JSON object
 * @param {[name: string, json: string | undefined][]} own
 */
export function splice(call, own) {
  const parts = [];
  for (const [name, value] of cut(call)) {
    if (!HOST_MEMBERS.includes(name)) parts.push(`${JSON.stringify(name)}:${value}`);
  }
  for (const [name, value] of own) {
    if (value !== undefined) parts.push(`"${name}":${value}`);
  }
  return `{${parts.join(',')}}`;
}

const KEPT = [
  'tool', 'session_id', 'call_id', 'agent_id', 'environment', 'parent_session_id', 'parent_call_id', 'tool_use_id',
];

const LONGEST = 64 * 1024;

/**
 * The same call without arguments, metadata and principal: enough for the log to name it, and small whatever it was.
 *
 * @param {string} call
 */
export function bare(call) {
  const parts = ['"args":{}'];
  for (const [name, value] of cut(call)) {
    if (KEPT.includes(name) && value.length <= LONGEST) parts.push(`"${name}":${value}`);
  }
  return `{${parts.join(',')}}`;
}
