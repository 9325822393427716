/** Guards that are closed after the test that made them. */

import { afterEach } from 'node:test';

import { Edictum } from '../../src/index.js';

/** @type {Edictum[]} */
const open = [];

/** What all guards run on: the component, unless it is said otherwise. @type {any} */
export const engine = process.env.EDICTUM_TEST_ENGINE ?? 'component';

export const native = engine === 'native';

/** @param {Promise<Edictum>} guard */
async function kept(guard) {
  open.push(await guard);
  return guard;
}

/** @typedef {import('../../src/index.js').EdictumOptions} EdictumOptions */

export const opened = {
  /** @param {string | string[]} paths @param {EdictumOptions} [options] */
  fromYaml: (paths, options) => kept(Edictum.fromYaml(paths, { engine, ...options })),
  /** @param {string} content @param {EdictumOptions} [options] */
  fromYamlString: (content, options) => kept(Edictum.fromYamlString(content, { engine, ...options })),
  /** @param {string} name @param {EdictumOptions & {templateDirs?: string[]}} [options] */
  fromTemplate: (name, options) => kept(Edictum.fromTemplate(name, { engine, ...options })),
  /** @param {Edictum[]} guards */
  fromMultiple: (guards) => kept(Edictum.fromMultiple(guards)),
};

afterEach(async () => {
  for (const guard of open.splice(0)) await guard.close();
});
