/**
 * The driver protocol: one request a line in, one answer a line out. It is how tests put every host through the same cases.
 *
 * Texts of calls, outputs and results go to the engine and come back as they are: nothing parses and prints them again.
 */

import { setNow } from './clock.js';
import { begin, approve, evaluate, finish } from './driver/calls.js';
import { check, hello, templates } from './driver/documents.js';
import { close, open, reload } from './driver/open.js';
import { Refusal, Request, lines, refusalText } from './driver/protocol.js';
import { flush, health, openServer } from './driver/server.js';
import { Session } from './driver/session.js';
import { counters, events, workflow } from './driver/state.js';
import { engine } from './engine.js';
import { setLogger } from './log.js';

/** @typedef {string | {later: Promise<string>}} Reply JSON text: at once, or when a person has decided */

/** @type {Record<string, (session: Session, request: Request) => Reply | Promise<Reply>>} */
const OPERATIONS = {
  hello, check, templates, open, reload, close, evaluate, begin, approve, finish, counters, workflow, events,
  open_server: openServer, health, flush,
};

/**
 * Serves requests until the end of input, then closes all guards.
 *
 * @param {NodeJS.ReadableStream} input
 * @param {NodeJS.WritableStream} output
 */
export async function serve(input, output) {
  setLogger((level, message) => console.error(`${level}: ${message}`));
  const session = new Session(await engine());
  /** @type {Set<Promise<void>>} */
  const atWork = new Set();
  /** @type {Set<Promise<void>>} */
  const waiting = new Set();
  const write = (/** @type {string} */ line) => void output.write(line);

  for await (const line of lines(input)) {
    if (typeof line !== 'string') {
      write(refusalText('null', line.broken));
      continue;
    }
    if (line.trim() === '') continue;
    let request;
    try {
      request = Request.read(session.engine, line);
    } catch (error) {
      write(refusalText(error instanceof Refusal ? (error.id ?? 'null') : 'null', error));
      continue;
    }
    if (request.nowMs !== undefined) {
      setNow(request.nowMs);
      await session.runDue();
    }
    // The place is taken here, in the order of the lines.
    const answered = session.inOrder(request, () => perform(session, request, write, waiting));
    if (request.parallel) keep(atWork, answered);
    else await answered;
  }
  await Promise.all(atWork);
  await session.closeAll();
  await Promise.all(waiting);
  await new Promise((resolve) => output.write('', () => resolve(undefined)));
}

/**
 * @param {Session} session
 * @param {Request} request
 * @param {(line: string) => void} write
 * @param {Set<Promise<void>>} waiting
 */
async function perform(session, request, write, waiting) {
  const answer = (/** @type {string} */ result) => write(`{"id":${request.id},"ok":true,"result":${result}}\n`);
  const refuse = (/** @type {unknown} */ error) => write(refusalText(request.id, error));
  try {
    const operation = Object.hasOwn(OPERATIONS, request.op) ? OPERATIONS[request.op] : undefined;
    if (!operation) throw new Refusal('bad-request', `there is no operation \`${request.op}\``);
    const reply = await operation(session, request);
    if (typeof reply === 'string') answer(reply);
    else keep(waiting, reply.later.then(answer, refuse));
  } catch (error) {
    refuse(error);
  }
}

/**
 * @param {Set<Promise<void>>} tasks
 * @param {Promise<void>} task
 */
function keep(tasks, task) {
  const kept = task.finally(() => tasks.delete(kept));
  tasks.add(kept);
}
