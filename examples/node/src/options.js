/** The options of a guard in JavaScript's habits, and what `Guard` makes of them. */

import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { EdictumConfigError, messageOf } from './errors.js';
import { Sinks } from './events.js';
import { jsonOf } from './json.js';
import { BackendStore } from './store/backend.js';
import { SqliteStore } from './store/sqlite.js';

/**
 * @typedef {object} EdictumOptions
 * @property {'enforce' | 'observe'} [mode] default: the file's
 * @property {string} [environment] default `production`
 * @property {Record<string, {side_effect?: string, sideEffect?: string, idempotent?: boolean}>} [tools]
 * @property {{maxAttempts?: number, maxToolCalls?: number, maxCallsPerTool?: Record<string, number>}} [limits]
 * @property {object} [principal] whose calls they are when nothing else says so
 * @property {import('./callbacks.js').Callbacks['principalResolver']} [principalResolver] replaces `principal`
 * @property {import('./callbacks.js').Callbacks['operators']} [customOperators]
 * @property {import('./callbacks.js').Callbacks['selectors']} [customSelectors]
 * @property {import('./callbacks.js').Hook[]} [hooks]
 * @property {import('./callbacks.js').Callbacks['successCheck']} [successCheck]
 * @property {(call: {tool: string, args: any, callId: string, sessionId: string}, reason: string, name: string | null) => unknown} [onBlock]
 * @property {(call: {tool: string, args: any, callId: string, sessionId: string}) => unknown} [onAllow]
 * @property {import('./events.js').AuditSink | import('./events.js').AuditSink[]} [auditSink]
 * @property {import('./approvals.js').Approver | import('./approvals.js').ApprovalBackend} [approvalBackend] absent: an `ask`
 *   of `run` is a block
 * @property {import('./store.js').Store | import('./store/backend.js').StorageBackend | {path: string, durable?: boolean} | string} [storageBackend]
 *   `{path}`: a folder with an SQLite store; with the engine `native` also an address (`redis://…`); default: in memory
 * @property {string | URL} [workflowPath]
 * @property {string | Uint8Array} [workflowContent]
 * @property {import('./workflow.js').WorkflowRuntime} [workflowRuntime]
 * @property {boolean} [workflowExecEvaluatorEnabled] permits `exec(...)`
 * @property {{sensitiveKeys?: string[], safeKeys?: string[], patterns?: any[], detectSecretValues?: boolean}} [redaction]
 * @property {boolean} [verifySignatures]
 * @property {string | string[]} [signingPublicKey] hex; one key, or those that are trusted
 * @property {string | string[]} [signature] of each ruleset, in their order
 * @property {string} [agentId]
 * @property {string} [name] what open calls in a store belong to
 * @property {string} [sessionId] of calls that name none; default: a new one for each guard
 * @property {number} [callbackDeadline] milliseconds; default 30,000
 * @property {'component' | 'native'} [engine] `component` (default): the component on this thread; `native`: libedictum
 * @property {(string | {path: string, configuration?: any})[]} [plugins] components; with the engine `native` only
 * @property {Record<string, any>} [options] further members of the options document, under their own names
 */

/**
 * @typedef {object} OfServer
 * @property {AuditSinkChoice} [auditSink] `server`; a sink: only there; `none`: nowhere
 * @property {EdictumOptions['approvalBackend'] | 'server' | 'none'} [approvalBackend] `server`; `none`: an `ask` is a block
 * @property {EdictumOptions['storageBackend'] | 'server'} [storageBackend] `server`
 * @property {string | string[]} [signingPublicKey] hex
 * @property {(trouble: {code: string, message: string}) => unknown} [onError] told of what goes wrong beside decisions
 */

/** @typedef {EdictumOptions['auditSink'] | 'server' | 'none'} AuditSinkChoice */

/**
 * @typedef {import('./server/connect.js').ServerOptions & OfServer
 *   & Omit<EdictumOptions, keyof OfServer | 'mode' | 'environment' | 'verifySignatures' | 'signature'>} FromServerOptions
 */

/**
 * What a guard needs, but for its rulesets. `end` gives back what was opened for it.
 *
 * @param {EdictumOptions} given
 */
export async function prepared(given) {
  if (given.plugins?.length) throw new EdictumConfigError('unsupported', 'plugins need the engine `native`');
  const workflow = await workflowOf(given);
  const { store, end } = await storeOf(given.storageBackend);
  return { end, guard: { ...commonParts(given), name: given.name, workflow, options: documentOf(given), store } };
}

/**
 * The same for libedictum: the fields of `open` that say it, and what no document can say.
 *
 * @param {EdictumOptions} given
 */
export async function preparedNative(given) {
  const workflow = await workflowOf(given);
  const store = addressOf(given.storageBackend);
  const options = documentOf(given);
  if (typeof store === 'object' && store.durable !== undefined) options.durable = store.durable;
  /** @type {Record<string, any>} */
  const fields = { guard: given.name ?? 'guard', options };
  if (workflow) fields.workflow = workflow.text;
  if (store !== undefined) fields.store = typeof store === 'string' ? store : { path: store.path };
  if (given.plugins?.length) fields.plugins = given.plugins;
  return { ...commonParts(given), fields };
}

/** @param {EdictumOptions} given */
function commonParts(given) {
  const sinks = given.auditSink === undefined ? [] : [given.auditSink].flat();
  return {
    agentId: given.agentId,
    sessionId: given.sessionId,
    callbackDeadline: given.callbackDeadline,
    principal: given.principal === undefined ? undefined : jsonOf(given.principal, 'principal'),
    sink: sinks.length > 0 ? new Sinks(sinks) : undefined,
    callbacks: {
      operators: given.customOperators,
      selectors: given.customSelectors,
      hooks: given.hooks,
      successCheck: given.successCheck,
      principalResolver: given.principalResolver,
    },
  };
}

/**
 * A store that libedictum has.
 *
 * @param {EdictumOptions['storageBackend']} given
 * @returns {{path: string, durable?: boolean} | string | undefined}
 */
function addressOf(given) {
  if (given === undefined || typeof given === 'string') return given;
  if ('path' in given && typeof given.path === 'string' && !('perform' in given) && !('get' in given)) return given;
  throw new EdictumConfigError('unsupported', 'the engine `native` has stores of its own: memory, a folder, redis://…');
}

/**
 * The options document.
 *
 * @param {EdictumOptions} given
 * @returns {Record<string, any>}
 */
function documentOf(given) {
  const { limits, redaction } = given;
  const keys = given.signingPublicKey === undefined ? undefined : [given.signingPublicKey].flat();
  const named = {
    mode: given.mode,
    environment: given.environment,
    tools: given.tools && Object.fromEntries(Object.entries(given.tools).map(([name, tool]) => [name, toolOf(tool)])),
    limits: limits && {
      max_attempts: limits.maxAttempts,
      max_tool_calls: limits.maxToolCalls,
      max_calls_per_tool: limits.maxCallsPerTool,
    },
    redaction: redaction && {
      sensitive_keys: redaction.sensitiveKeys,
      safe_keys: redaction.safeKeys,
      patterns: redaction.patterns,
      detect_secret_values: redaction.detectSecretValues,
    },
    exec_enabled: given.workflowExecEvaluatorEnabled,
    verify_signatures: given.verifySignatures,
    signing_public_keys: keys,
    approvals: given.approvalBackend === undefined ? 'none' : 'host',
  };
  const known = Object.entries(named).filter(([, value]) => value !== undefined);
  return { ...Object.fromEntries(known), ...given.options };
}

/** @param {{side_effect?: string, sideEffect?: string, idempotent?: boolean}} tool */
function toolOf({ sideEffect, ...tool }) {
  return sideEffect === undefined ? tool : { side_effect: sideEffect, ...tool };
}

/**
 * @param {EdictumOptions} given
 * @returns {Promise<{name: string, text: string} | undefined>}
 */
async function workflowOf({ workflowPath, workflowContent, workflowRuntime }) {
  const ways = [workflowPath, workflowContent, workflowRuntime].filter((way) => way !== undefined);
  if (ways.length > 1) {
    throw new EdictumConfigError('bad-request', '`workflowPath`, `workflowContent` and `workflowRuntime` are one too many');
  }
  if (workflowPath !== undefined) return readDocument(workflowPath);
  if (workflowContent !== undefined) return { name: 'workflow', text: textOf(workflowContent, 'the workflow') };
  return workflowRuntime?.document;
}

/**
 * @param {EdictumOptions['storageBackend']} given
 * @returns {Promise<{store?: import('./store.js').Store, end: () => Promise<void>}>}
 */
async function storeOf(given) {
  const end = async () => {};
  if (given === undefined) return { end };
  if (typeof given === 'string') throw new EdictumConfigError('unsupported', 'a store at an address needs the engine `native`');
  if ('perform' in given) return { store: given, end };
  if ('get' in given) return { store: new BackendStore(given), end };
  if (typeof given.path !== 'string' || given.path === '') {
    throw new EdictumConfigError('bad-request', '`storageBackend` is neither a store, a backend nor a folder');
  }
  const store = await SqliteStore.open(given.path, { durable: given.durable });
  return { store, end: () => store.end() };
}

/**
 * @param {string | URL} path
 * @returns {Promise<{name: string, text: string}>}
 */
export async function readDocument(path) {
  const name = path instanceof URL ? fileURLToPath(path) : path;
  try {
    return { name, text: textOf(await readFile(path), name) };
  } catch (error) {
    if (error instanceof EdictumConfigError) throw error;
    throw new EdictumConfigError('not-found', `\`${name}\` cannot be read: ${messageOf(error)}`);
  }
}

/**
 * A text whose bytes are exactly these.
 *
 * @param {string | Uint8Array} content
 * @param {string} what
 */
export function textOf(content, what) {
  if (typeof content === 'string') return content;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content);
  } catch {
    throw new EdictumConfigError('bad-request', `${what} is not UTF-8`);
  }
}

/**
 * A template: of the folders that are given, else a built-in one.
 *
 * @param {import('./engine.js').Engine} engine
 * @param {string} name
 * @param {string[]} folders
 */
export async function templateOf(engine, name, folders) {
  if (name !== basename(name) || name === '') throw unknownTemplate(name, []);
  for (const folder of folders) {
    try {
      return await readDocument(join(folder, `${name}.yaml`));
    } catch (error) {
      if (!(error instanceof EdictumConfigError) || error.code !== 'not-found') throw error;
    }
  }
  const builtin = engine.ask((decider) => decider.templates());
  const found = builtin.find((template) => template.name === name);
  if (!found) throw unknownTemplate(name, builtin.map((template) => template.name));
  return found;
}

/**
 * @param {string} name
 * @param {string[]} known
 */
function unknownTemplate(name, known) {
  return new EdictumConfigError('not-found', `there is no template \`${name}\`; built in: ${known.join(', ')}`);
}
