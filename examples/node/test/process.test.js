import assert from 'node:assert/strict';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { readLinks } from '../src/links.js';
import { environment, runCommand, textOf, withhold } from '../src/process.js';
import { folder } from './support/folder.js';
import { until } from './support/serve.js';

/**
 * @param {string[]} argv
 * @param {Partial<import('../src/process.js').CommandLine>} [more]
 */
function command(argv, more = {}) {
  return { argv, environment: ['PATH'], timeout_ms: 30_000, output_cap: 4096, ...more };
}

/** @param {string[]} argv */
const run = (...argv) => runCommand(command(argv));

test('a command ends with code and merged output, in order', async () => {
  assert.deepEqual(await run('sh', '-c', 'echo out; echo err >&2; echo more; exit 3'), { exit_code: 3, output: 'out\nerr\nmore\n' });
  assert.deepEqual(await run('sh', '-c', 'kill -9 $$'), { exit_code: -9, output: '' });
  assert.deepEqual(await run('printf', '%s', '$HOME; `id`'), { exit_code: 0, output: '$HOME; `id`' }, 'there is no shell');
});

test('a command sees only the variables it may see', async () => {
  const { output } = await run('env');
  assert.match(output, /^PATH=[^\n]*\n$/);
});

/**
 * Whether a process is there and no zombie.
 *
 * @param {string} pid
 */
async function lives(pid) {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return stat !== '' && !/^[ZX]/.test(stat.slice(stat.lastIndexOf(') ') + 2));
}

/** @param {string} file */
async function gone(file) {
  const pid = (await readFile(file, 'utf8')).trim();
  assert.notEqual(pid, '');
  await until(async () => !(await lives(pid)));
}

test('a command without end is killed with all it started', { skip: process.platform === 'linux' ? false : 'looks into /proc' }, async (t) => {
  const at = await folder(t);
  for (const [name, script] of [
    ['both', 'sleep 60 & echo $! > both; sleep 60'],
    // Who holds the output open has not ended.
    ['child', 'sleep 60 & echo $! > child; exit 0'],
  ]) {
    await assert.rejects(runCommand(command(['sh', '-c', script ?? ''], { timeout_ms: 1_000 }), at), /1000 ms/);
    await gone(join(at, name ?? ''));
  }
  const quiet = await runCommand(command(['sh', '-c', 'sleep 60 >/dev/null 2>&1 & echo $! > pid; echo done']), at);
  assert.deepEqual(quiet, { exit_code: 0, output: 'done\n' });
  await gone(join(at, 'pid'));
});

test('endless output is cut at a character', async () => {
  const flood = await runCommand(command(['sh', '-c', 'yes ä | head -c 3000000'], { output_cap: 7 }));
  assert.equal(flood.output, 'ä\nä\n', 'one byte of the third letter is left out');
  assert.equal(textOf(Buffer.from([0xff, 0x41, 0xc3]), 3), '\ufffdA\ufffd');
  assert.equal(textOf(Buffer.from([0x41, 0xc3]), 9), 'A\ufffd');
});

test('what cannot run is an error', async (t) => {
  await assert.rejects(run(), /empty/);
  await assert.rejects(run('/nonexistent/program'), /cannot be started/);
  await assert.rejects(runCommand(command(['true']), '/nonexistent/folder'), /cannot be started/);
  const at = await folder(t);
  assert.equal((await runCommand(command(['pwd']), at)).output, `${at}\n`);
});

test('keys of ours are in no environment', () => {
  withhold('key-of-a-guard');
  const variables = {
    PATH: '/bin',
    EDICTUM_API_KEY: 'key-0123456789',
    EDICTUM_STAGING_TOKEN: 'short',
    EDICTUM_LOG: 'warn',
    CURL_HEADER: 'Authorization: Bearer key-0123456789',
    COPY: 'short',
    WORD: 'shortly',
    UNNAMED: 'x',
    GIVEN: 'token=key-of-a-guard',
  };
  const named = [...Object.keys(variables).filter((name) => name !== 'UNNAMED'), 'UNSET', 'toString'];
  assert.deepEqual(environment(named, variables), { PATH: '/bin', EDICTUM_LOG: 'warn', WORD: 'shortly' });
  assert.deepEqual(environment([], variables), {});
});

test('a path is missing, plain, a link or unknowable', async (t) => {
  const at = await folder(t);
  await writeFile(join(at, 'file'), '');
  await mkdir(join(at, 'folder'));
  await symlink('../else where', join(at, 'link'));
  await symlink('loop', join(at, 'loop'));
  await symlink(/** @type {any} */ (Buffer.from([0xff])), join(at, 'not-text'));
  const cases = /** @type {const} */ ([
    ['file', 'plain'],
    ['folder', 'plain'],
    ['nothing', 'missing'],
    ['file/below', 'missing'],
    ['link', { target: '../else where' }],
    ['loop', { target: 'loop' }],
    ['not-text', 'unreadable'],
    ['nul\0byte', 'unreadable'],
    ['a'.repeat(10_000), 'unreadable'],
  ]);
  assert.deepEqual(await readLinks(cases.map(([name]) => `${at}/${name}`)), cases.map(([, link]) => link));
});
