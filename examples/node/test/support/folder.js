/** A folder that is gone after the test. */

import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** @param {import('node:test').TestContext} t */
export async function folder(t) {
  const made = await realpath(await mkdtemp(join(tmpdir(), 'edictum-test-')));
  t.after(() => rm(made, { recursive: true, force: true }));
  return made;
}
