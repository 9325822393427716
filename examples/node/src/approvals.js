/** People who answer an `ask` of `Edictum.run`: a function, or a backend as users of the SDKs write them. */

import { camelCased } from './native.js';

/**
 * What a person is asked; arguments are redacted.
 *
 * @typedef {object} ApprovalRequest
 * @property {string} callId
 * @property {string} toolName
 * @property {Record<string, any>} toolArgs
 * @property {string} message
 * @property {number} timeout seconds
 * @property {'block' | 'allow'} timeoutAction
 * @property {number} deadlineMs
 * @property {Record<string, any> | null} [principal]
 * @property {Record<string, any>} [metadata]
 * @property {string} [sessionId]
 * @property {string} [stageId] the stage of the workflow that asks
 */

/**
 * @typedef {object} ApprovalDecision
 * @property {boolean} approved
 * @property {string | null} [approver]
 * @property {string | null} [reason]
 * @property {'approved' | 'denied' | 'timeout' | 'pending'} [status] `timeout`: nobody answered
 * @property {string} [approvalId]
 */

/** @typedef {(request: ApprovalRequest) => boolean | ApprovalDecision | Promise<boolean | ApprovalDecision>} Approver */

/**
 * @typedef {object} ApprovalBackend
 * @property {(request: ApprovalRequest) => {approvalId: string} | Promise<{approvalId: string}>} requestApproval
 * @property {(approvalId: string, timeout: number) => ApprovalDecision | Promise<ApprovalDecision>} waitForDecision
 */

/**
 * Asks, and gives the outcome as the engine takes it. Throws when nobody could be asked.
 *
 * @param {Approver | ApprovalBackend} backend
 * @param {string} callId
 * @param {string} approval JSON text of the engine's
 * @returns {Promise<import('./guard.js').ApprovalOutcome>}
 */
export async function ask(backend, callId, approval) {
  /** @type {ApprovalRequest} */
  const request = { ...camelCased(JSON.parse(approval)), callId };
  if (typeof backend === 'function') return outcomeOf(await backend(request));
  const { approvalId } = await backend.requestApproval(request);
  return outcomeOf(await backend.waitForDecision(approvalId, request.timeout), approvalId);
}

/**
 * @param {boolean | ApprovalDecision} said
 * @param {string} [id]
 * @returns {import('./guard.js').ApprovalOutcome}
 */
function outcomeOf(said, id) {
  if (typeof said === 'boolean') return { verdict: said ? 'approved' : 'rejected', approval_id: id };
  const { approved, approver, reason, status, approvalId = id } = said ?? {};
  if (typeof approved !== 'boolean') throw new Error('the approval backend gave no decision');
  // Only a plain yes is one; a timeout is the engine's to judge.
  const verdict = status === 'timeout' ? 'timed_out' : approved && status !== 'denied' ? 'approved' : 'rejected';
  return { verdict, approval_id: approvalId, approver: text(approver), reason: text(reason) };
}

/** @param {unknown} value */
function text(value) {
  return typeof value === 'string' ? value : null;
}

/** Approvals that another part of the program gives: `pending` has the open ones, `decide` answers. */
export class LocalApprovalBackend {
  /** @type {Map<string, {request: ApprovalRequest, decided: Promise<ApprovalDecision>, decide: (decision: ApprovalDecision) => void}>} */
  #open = new Map();

  /** @param {ApprovalRequest} request */
  async requestApproval(request) {
    /** @type {(decision: ApprovalDecision) => void} */
    let decide = () => {};
    const decided = new Promise((/** @type {typeof decide} */ resolve) => (decide = resolve));
    this.#open.set(request.callId, { request, decided, decide });
    return { approvalId: request.callId };
  }

  /**
   * @param {string} approvalId
   * @returns {Promise<ApprovalDecision>}
   */
  async waitForDecision(approvalId) {
    const open = this.#open.get(approvalId);
    if (!open) throw new Error('there is no such approval');
    try {
      return await open.decided;
    } finally {
      this.#open.delete(approvalId);
    }
  }

  /** Requests that wait for an answer. */
  get pending() {
    return [...this.#open.values()].map(({ request }) => request);
  }

  /**
   * Answers a request. False: there is none of this id.
   *
   * @param {string} approvalId
   * @param {boolean} approved
   * @param {{approver?: string, reason?: string}} [by]
   */
  decide(approvalId, approved, by = {}) {
    const open = this.#open.get(approvalId);
    open?.decide({ approved, ...by });
    return open !== undefined;
  }
}
