/**
 * One step of a call: ask the engine, answer its questions, ask again, until it has an end. The policy is the same from the
 * first to the last; the instance need not be.
 */

import { answers } from '../answers.js';
import { Abnormal, messageOf } from '../errors.js';
import { fields } from '../json.js';
import { log } from '../log.js';

/** Most inquiries of one step. The engine needs a handful; conflicts in the store cost one each. */
const MAX_ROUNDS = 256;

const DONE = '{"done":';
const ASK = '{"ask_host":';
const FAILED = '{"failed":';

/** A step that ended abnormally, and the last ticket that the engine gave. */
export class Failed extends Error {
  /**
   * @param {Abnormal} abnormal
   * @param {string | undefined} ticket
   */
  constructor(abnormal, ticket) {
    super(abnormal.message);
    this.abnormal = abnormal;
    this.ticket = ticket;
  }
}

/**
 * @typedef {object} Scene what a step is about
 * @property {import('../engine.js').Engine} engine
 * @property {import('../policy.js').Policy} policy
 * @property {string} guard its name, for the log
 * @property {import('../answers.js').Respondent} respondent
 * @property {string} again members that `resume` is given again, as JSON text
 * @property {string} [ticket] of the step before
 */

/**
 * Text of what was done; throws `Failed`.
 *
 * @template {'step' | 'operate'} M
 * @param {Scene} scene
 * @param {M} method of the first entry
 * @param {import('../engine.js').Values<M>} values
 * @returns {Promise<string>}
 */
export async function drive(scene, method, ...values) {
  const { engine, policy, respondent, again } = scene;
  let { ticket } = scene;
  engine.retain(policy);
  try {
    /** @type {string} */
    let reply = await engine.decide(policy, method, ...values);
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      if (reply.startsWith(DONE)) return reply.slice(DONE.length, -1);
      if (!reply.startsWith(ASK)) throw new Abnormal('host', `a request was refused: ${refusal(reply)}`);
      const inquiry = fields(reply.slice(ASK.length, -1));
      const given = await answers(respondent, JSON.parse(inquiry.questions ?? '[]'));
      ticket = inquiry.ticket;
      const request = `{${again},"ticket":${ticket},"answers":${given}}`;
      reply = await engine.decide(policy, 'step', 'resume', request);
    }
    throw new Abnormal('host', 'a step without end');
  } catch (error) {
    const abnormal = error instanceof Abnormal ? error : new Abnormal('host', messageOf(error));
    log('error', `guard ${scene.guard}: a step failed: ${abnormal.message}`);
    throw new Failed(abnormal, ticket);
  } finally {
    engine.release(policy);
  }
}

/** @param {string} reply */
function refusal(reply) {
  return reply.startsWith(FAILED) ? (fields(reply.slice(FAILED.length, -1)).code ?? '') : 'no reply';
}
