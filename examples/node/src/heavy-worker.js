/** The thread of `Heavy`. */

import { Engine } from './engine.js';
import { answer } from './remote.js';

answer(({ maxMemory }) => {
  const made = Engine.make({ maxMemory, alone: true });
  return {
    decide: async (/** @type {any} */ policy, /** @type {string} */ method, /** @type {any[]} */ values) => {
      const engine = /** @type {any} */ (await made);
      return engine.decide(policy, method, ...values);
    },
    drop: async (/** @type {string} */ id) => {
      const engine = await made;
      engine.ask((decider) => decider.drop(id));
    },
  };
});
