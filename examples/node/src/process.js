/**
 * A command of a workflow's `exec(...)`: no shell, a process group of its own, a deadline, a bounded output, and no key of
 * ours in its environment. The engine decides which commands run and what their end means.
 *
 * Whatever happens, the whole group is killed in the end: after success, after the deadline, when this process ends.
 */

import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createConnection, createServer } from 'node:net';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * @typedef {object} CommandLine
 * @property {string[]} argv
 * @property {string[]} environment names of variables
 * @property {number} timeout_ms
 * @property {number} output_cap
 */

/** How long a killed process may take to be gone, in milliseconds. */
const REAP = 5_000;

/** Keys that guards of this process have connected with: no command may see one. @type {Set<string>} */
const withheld = new Set();

/** @param {string} key */
export function withhold(key) {
  withheld.add(key);
}

/** A shorter key is withheld only where it is the whole value: a text that holds it by chance says nothing. */
const MIN_KEY = 8;

/**
 * Runs a command to its end. Fails when it cannot be started, or it (or what it has started, and what holds its output
 * open) did not end in time.
 *
 * @param {CommandLine} command
 * @param {string} [cwd]
 * @returns {Promise<{exit_code: number, output: string}>}
 */
export async function runCommand(command, cwd) {
  if (process.platform === 'win32') throw new Error('commands run on Unix only');
  const [program, ...words] = command.argv;
  if (!program) throw new Error('an empty command');
  const pipe = await makePipe();
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  try {
    const child = spawn(program, words, {
      cwd,
      env: environment(command.environment, process.env),
      // Both into one pipe: the order of what it writes is its own.
      stdio: ['ignore', pipe.writer, pipe.writer],
      // Leader of a group of its own.
      detached: true,
    });
    const exited = new Promise((/** @type {(end: number | Error) => void} */ resolve) => {
      child.once('error', resolve);
      child.once('exit', (code, signal) => {
        // At once: later its number may be somebody else's.
        if (output.ended) killGroup(child.pid);
        resolve(code ?? (signal ? -constants.signals[signal] : -1));
      });
    });
    const output = collect(pipe.reader, command.output_cap);
    pipe.writer.destroy();
    if (child.pid === undefined) throw new Error(`it cannot be started: ${errorCode(await exited)}`);
    running.add(child.pid);
    const late = new Promise((resolve) => (timer = setTimeout(resolve, command.timeout_ms, true)));
    const timedOut = await Promise.race([late, Promise.all([exited, output.end]).then(() => false)]);
    killGroup(child.pid);
    running.delete(child.pid);
    if (timedOut) {
      await Promise.race([exited, new Promise((resolve) => setTimeout(resolve, REAP).unref())]);
      throw new Error(`no end within ${command.timeout_ms} ms`);
    }
    const end = await exited;
    if (typeof end !== 'number') throw new Error(`it cannot be started: ${errorCode(end)}`);
    return { exit_code: end, output: textOf(output.kept(), command.output_cap) };
  } finally {
    clearTimeout(timer);
    await pipe.close();
  }
}

/** Leaders of groups that run. @type {Set<number>} */
const running = new Set();

process.on('exit', () => running.forEach(killGroup));

/** @param {number | undefined} leader */
function killGroup(leader) {
  if (leader === undefined) return;
  try {
    process.kill(-leader, 'SIGKILL');
  } catch {
    // None of them is left.
  }
}

/** Node makes no pipe that two descriptors share; a socket in a folder of our own does the same. */
async function makePipe() {
  const folder = await mkdtemp(join(tmpdir(), 'edictum-'));
  const server = createServer();
  const path = join(folder, 's');
  try {
    await new Promise((resolve, reject) => server.once('error', reject).listen(path, () => resolve(undefined)));
    const accepted = new Promise((/** @type {(socket: import('node:net').Socket) => void} */ resolve) =>
      server.once('connection', resolve));
    const writer = createConnection(path);
    await new Promise((resolve, reject) => writer.once('error', reject).once('connect', () => resolve(undefined)));
    const reader = await accepted;
    const close = async () => {
      writer.destroy();
      reader.destroy();
    };
    return { reader, writer, close };
  } finally {
    server.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * Reads until nobody writes any more, and keeps the first bytes.
 *
 * @param {import('node:net').Socket} from
 * @param {number} cap
 */
function collect(from, cap) {
  /** @type {Buffer[]} */
  const chunks = [];
  let room = cap;
  const output = {
    ended: false,
    end: new Promise((/** @type {(value: void) => void} */ resolve) => {
      from.on('data', (/** @type {Buffer} */ chunk) => {
        if (room > 0) chunks.push(chunk.subarray(0, room));
        room -= Math.min(room, chunk.length);
      });
      const ended = () => {
        output.ended = true;
        resolve();
      };
      from.once('end', ended).once('error', ended).once('close', ended);
    }),
    kept: () => Buffer.concat(chunks),
  };
  return output;
}

/**
 * The variables that a command gets: those that are named, as far as they are set, without keys of ours. Whoever names
 * `EDICTUM_API_KEY`, or a variable with the same key in it, would hand the key to whatever an agent makes a test run.
 *
 * @param {string[]} named
 * @param {Record<string, string | undefined>} variables
 * @returns {Record<string, string>}
 */
export function environment(named, variables) {
  const ours = Object.entries(variables).flatMap(([name, value]) => (isKey(name) && value ? [value] : []));
  const keys = [...ours, ...withheld];
  const holdsKey = (/** @type {string} */ value) =>
    keys.some((key) => key === value || (Buffer.byteLength(key) >= MIN_KEY && value.includes(key)));
  /** @type {Record<string, string>} */
  const given = {};
  for (const name of named) {
    const value = Object.hasOwn(variables, name) ? variables[name] : undefined;
    if (value !== undefined && !isKey(name) && !holdsKey(value)) given[name] = value;
  }
  return given;
}

/**
 * Whether a variable of this name is for us alone.
 *
 * @param {string} name
 */
function isKey(name) {
  const upper = name.toUpperCase();
  return upper.startsWith('EDICTUM_') && ['KEY', 'TOKEN', 'SECRET'].some((word) => upper.includes(word));
}

/**
 * A character that the cap cut in two is left out.
 *
 * @param {Uint8Array} bytes
 * @param {number} cap
 */
export function textOf(bytes, cap) {
  if (bytes.length === cap) {
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes, { stream: true });
    } catch {
      // More is wrong with it than its end.
    }
  }
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
}

/** @param {number | Error} end */
function errorCode(end) {
  return end instanceof Error ? (/** @type {{code?: string}} */ (end).code ?? 'error') : String(end);
}
