/** Why something did not take place. A call that cannot be judged is no error but a block. */

/**
 * A finding about a document; line and column count from 1, or are 0 for the whole document.
 *
 * @typedef {object} Diagnostic
 * @property {'error' | 'warning' | 'hint'} severity
 * @property {string} code stable, as in `E_UNKNOWN_FIELD`
 * @property {string} message
 * @property {string} document
 * @property {number} line
 * @property {number} column
 * @property {number} endLine
 * @property {number} endColumn
 * @property {string} [help]
 */

/** Everything that this package throws. */
export class EdictumError extends Error {
  /**
   * @param {string} code stable: of the engine (`E_UNKNOWN_FIELD`), or `bad-request`, `not-found`, `conflict`,
   *   `unauthorized`, `unsupported`, `closed`, `unavailable`, `internal`
   * @param {string} message
   * @param {ErrorOptions} [options]
   */
  constructor(code, message, options) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** Rulesets, workflow or options do not load, or need what this guard does not have. */
export class EdictumConfigError extends EdictumError {
  /**
   * @param {string} code
   * @param {string} message
   * @param {Diagnostic[]} [diagnostics] all findings
   */
  constructor(code, message, diagnostics = []) {
    super(code, message);
    this.diagnostics = diagnostics;
  }
}

/** The call was blocked: the tool did not run. */
export class EdictumDenied extends EdictumError {
  /** @param {import('./decision.js').Decision} decision */
  constructor(decision) {
    super('denied', decision.reason);
    this.decision = decision;
    this.reason = decision.reason;
    this.decisionSource = decision.decisionSource;
    this.decisionName = decision.decisionName;
  }
}

/** The tool ran and failed. */
export class EdictumToolError extends EdictumError {
  /**
   * @param {string} message what the agent may see of the failure
   * @param {unknown} result the same, as a value
   * @param {import('./decision.js').Conclusion} conclusion
   * @param {ErrorOptions} [options]
   */
  constructor(message, result, conclusion, options) {
    super('tool-failed', message, options);
    this.result = result;
    this.conclusion = conclusion;
  }
}

/** @type {Record<string, string>} */
const KINDS = {
  'invalid-argument': 'bad-request',
  'invalid-document': 'bad-request',
  unauthorized: 'unauthorized',
  'not-found': 'not-found',
  unavailable: 'unavailable',
  ambiguous: 'unavailable',
  conflict: 'conflict',
};

/**
 * The `failure` of the interface as an error.
 *
 * @param {{kind: string, code: string, message: string, diagnostics?: Diagnostic[]}} failure
 */
export function refused(failure) {
  const code = failure.code || (KINDS[failure.kind.replaceAll('_', '-')] ?? 'internal');
  return new EdictumConfigError(code, failure.message, failure.diagnostics ?? []);
}

/** An instance ended, or could not be had: what `fault` of the interface is told. */
export class Abnormal extends Error {
  /**
   * @param {'trap' | 'deadline' | 'out-of-memory' | 'store' | 'decision-log' | 'host' | 'abandoned'} fault
   * @param {string} reason for the log
   */
  constructor(fault, reason) {
    super(`${fault}: ${reason}`);
    this.name = 'Abnormal';
    this.fault = fault;
    this.reason = reason;
  }
}

/** @param {unknown} error */
export function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}
