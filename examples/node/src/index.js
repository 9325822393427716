/**
 * Guards tool calls of AI agents by rules in YAML. Start with `Edictum.fromYaml`.
 *
 * @module edictum-guard
 */

export { LocalApprovalBackend } from './approvals.js';
export { HookDecision } from './callbacks.js';
export { Conclusion, Decision } from './decision.js';
export { Edictum } from './edictum.js';
export { EdictumConfigError, EdictumDenied, EdictumError, EdictumToolError } from './errors.js';
export { CollectingAuditSink, EventBuffer, FileAuditSink, StdoutAuditSink } from './events.js';
export { Guard } from './guard.js';
export { RawJson } from './json.js';
export { setLogger } from './log.js';
export { EdictumServerClient } from './server/client.js';
export {
  ServerApprovalBackend, ServerAuditSink, ServerBackend, ServerContractSource, verifyBundleSignature,
} from './server/parts.js';
export { BackendStore, MemoryStore, SqliteStore } from './store.js';
export { WorkflowRuntime } from './workflow.js';

/** @typedef {import('./approvals.js').ApprovalBackend} ApprovalBackend */
/** @typedef {import('./approvals.js').ApprovalDecision} ApprovalDecision */
/** @typedef {import('./approvals.js').ApprovalRequest} ApprovalRequest */
/** @typedef {import('./callbacks.js').Hook} Hook */
/** @typedef {import('./edictum.js').CallOptions} CallOptions */
/** @typedef {import('./edictum.js').EvaluationResult} EvaluationResult */
/** @typedef {import('./edictum.js').RuleResult} RuleResult */
/** @typedef {import('./edictum.js').ToolContext} ToolContext */
/** @typedef {import('./errors.js').Diagnostic} Diagnostic */
/** @typedef {import('./events.js').AuditSink} AuditSink */
/** @typedef {import('./options.js').EdictumOptions} EdictumOptions */
/** @typedef {import('./options.js').FromServerOptions} FromServerOptions */
/** @typedef {import('./store.js').Store} Store */
/** @typedef {import('./store/backend.js').StorageBackend} StorageBackend */
