/** The library and its addon (`native/addon.c`), opened once: what the engine `native` runs on. */

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { EdictumConfigError, messageOf } from '../errors.js';

/**
 * What the library answers. Texts that it does not have are undefined.
 *
 * @typedef {object} Answer
 * @property {number} status
 * @property {number} action
 * @property {number} flags
 * @property {string} [text]
 * @property {string} [callId]
 * @property {string} [reason]
 * @property {string} [name]
 * @property {string} [value]
 * @property {string} [warnings]
 * @property {object} [guard]
 * @property {object} [host]
 */

/**
 * The addon. Operations end at once when they can.
 *
 * @typedef {object} Addon
 * @property {(path: string) => void} open
 * @property {(options?: string) => Promise<Answer>} hostNew
 * @property {(host: object, op: string, fields: string, entries: [string, string?][], listener: Listener) => Answer | Promise<Answer>} guardOpen
 * @property {(guard: object, op: string, ...values: (string | number | undefined)[]) => Answer | Promise<Answer>} guardCall
 * @property {(guard: object) => Answer} guardSummary
 * @property {(guard: object, principal?: string) => Answer} guardSetPrincipal
 * @property {(reply: object, json?: string, reason?: string) => void} reply
 */

/** @typedef {(text: string, about: string, reply?: object) => void} Listener */

const NAMES = /** @type {Record<string, string>} */ ({ darwin: 'libedictum.dylib', linux: 'libedictum.so' });

const require = createRequire(import.meta.url);

/**
 * Where the library is, with its addon beside it: the folder that `EDICTUM_NATIVE` names, that of this package, or the package for this
 * machine. Null: there is none.
 */
export function location() {
  const here = fileURLToPath(new URL('../../native', import.meta.url));
  for (const folder of [process.env.EDICTUM_NATIVE, here, installed()]) {
    const library = join(folder ?? '', NAMES[process.platform] ?? 'libedictum');
    const addon = join(folder ?? '', 'edictum.node');
    if (folder && existsSync(library) && existsSync(addon)) return { library, addon };
  }
  return null;
}

function installed() {
  try {
    return dirname(require.resolve(`edictum-guard-native-${process.platform}-${process.arch}/package.json`));
  } catch {
    return undefined;
  }
}

/** @type {Promise<{addon: Addon, host: object}> | undefined} */
let opened;

/** The addon, and the host of this process. */
export function native() {
  opened ??= open();
  return opened;
}

async function open() {
  const where = location();
  if (!where) throw new EdictumConfigError('unsupported', 'the engine `native` needs libedictum and its addon; see the README');
  try {
    /** @type {Addon} */
    const addon = require(where.addon);
    addon.open(where.library);
    const answer = await addon.hostNew();
    if (!answer.host) throw new Error(answer.text ?? 'no host');
    return { addon, host: answer.host };
  } catch (error) {
    throw new EdictumConfigError('unsupported', `libedictum does not start: ${messageOf(error)}`);
  }
}
