/** A workflow apart from the guards it is for: checked once, handed to any number of guards. */

import { engine } from './engine.js';
import { EdictumConfigError } from './errors.js';
import { readDocument, textOf } from './options.js';

export class WorkflowRuntime {
  /**
   * @param {{name: string, text: string}} document
   * @param {import('./errors.js').Diagnostic[]} warnings what was found that is no error
   */
  constructor(document, warnings) {
    this.document = document;
    this.warnings = warnings;
  }

  /**
   * @param {string | URL} path
   * @param {{execEvaluatorEnabled?: boolean}} [options]
   */
  static async load(path, options) {
    return WorkflowRuntime.#checked(await readDocument(path), options);
  }

  /**
   * @param {string | Uint8Array} content YAML
   * @param {{execEvaluatorEnabled?: boolean}} [options] `execEvaluatorEnabled` permits `exec(...)`; a guard that is to use the
   *   workflow needs `workflowExecEvaluatorEnabled` too
   */
  static async loadString(content, options) {
    return WorkflowRuntime.#checked({ name: 'workflow', text: textOf(content, 'the workflow') }, options);
  }

  /**
   * @param {{name: string, text: string}} document
   * @param {{execEvaluatorEnabled?: boolean}} [options]
   */
  static async #checked(document, { execEvaluatorEnabled = false } = {}) {
    const options = JSON.stringify({ exec_enabled: execEvaluatorEnabled });
    const source = { rulesets: [], workflow: document, options };
    const findings = (await engine()).ask((decider) => decider.check(source));
    const first = findings.find(({ severity }) => severity === 'error');
    if (first) throw new EdictumConfigError(first.code, first.message, findings);
    return new WorkflowRuntime(document, findings);
  }
}
