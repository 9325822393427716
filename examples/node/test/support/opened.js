/** Guards that are closed after the test that made them. */

import { afterEach } from 'node:test';

import { Edictum } from '../../src/index.js';

/** @type {Edictum[]} */
const open = [];

/** @param {Promise<Edictum>} guard */
async function kept(guard) {
  open.push(await guard);
  return guard;
}

export const opened = {
  fromYaml: (/** @type {Parameters<typeof Edictum.fromYaml>} */ ...given) => kept(Edictum.fromYaml(...given)),
  fromYamlString: (/** @type {Parameters<typeof Edictum.fromYamlString>} */ ...given) =>
    kept(Edictum.fromYamlString(...given)),
  fromTemplate: (/** @type {Parameters<typeof Edictum.fromTemplate>} */ ...given) => kept(Edictum.fromTemplate(...given)),
  fromMultiple: (/** @type {Parameters<typeof Edictum.fromMultiple>} */ ...given) => kept(Edictum.fromMultiple(...given)),
};

afterEach(async () => {
  for (const guard of open.splice(0)) await guard.close();
});
