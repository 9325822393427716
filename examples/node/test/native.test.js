import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';

import { CollectingAuditSink, Edictum } from '../src/index.js';
import { location } from '../src/libedictum/library.js';
import { folder } from './support/folder.js';
import { RULES } from './support/rules.js';

const execute = promisify(execFile);

const native = { skip: location() ? false : 'no libedictum here' };

/** Calls without end, most of them waiting for something of the library's or of the program's. */
async function work(/** @type {string} */ path) {
  const guard = await Edictum.fromYamlString(RULES, {
    engine: 'native',
    auditSink: new CollectingAuditSink(),
    storageBackend: { path },
    hooks: [{ name: 'slow', before: () => new Promise((resolve) => setTimeout(resolve, 5, true)) }],
  });
  parentPort?.postMessage('at work');
  for (;;) {
    const calls = Array.from({ length: 20 }, (_, at) => guard.run('Bash', { command: 'ls' }, () => 1, { sessionId: `s${at}` }));
    await Promise.allSettled(calls);
  }
}

if (isMainThread) {
  test('a thread that is ended in the middle of calls disturbs no other', native, async (t) => {
    const path = await folder(t);
    for (const milliseconds of [0, 20, 60, 120]) {
      const worker = new Worker(fileURLToPath(import.meta.url), { workerData: path });
      await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
      await new Promise((resolve) => setTimeout(resolve, milliseconds));
      await worker.terminate();
    }
    const guard = await Edictum.fromYamlString(RULES, { engine: 'native' });
    assert.equal(await guard.run('Bash', { command: 'ls' }, () => 'still here'), 'still here');
    await guard.close();
  });

  test('a process ends when its work is done, and in the middle of it', native, async () => {
    const start = `
      import { Edictum } from ${JSON.stringify(new URL('../src/index.js', import.meta.url).href)};
      const rules = ${JSON.stringify(RULES)};
      const guard = await Edictum.fromYamlString(rules, { engine: 'native', approvalBackend: () => new Promise(() => {}) });
      console.log(await guard.run('Bash', { command: 'ls' }, () => 'ran'));
    `;
    const run = (/** @type {string} */ program) => execute(process.execPath, ['--input-type=module', '--eval', program], { timeout: 60_000 });
    assert.equal((await run(start)).stdout, 'ran\n');
    const waiting = `${start} void guard.run('Deploy', { to: 'production' }, () => 1); setTimeout(() => process.exit(7), 50);`;
    await assert.rejects(run(waiting), { code: 7 });
  });
} else if (typeof workerData === 'string') {
  await work(workerData);
}
