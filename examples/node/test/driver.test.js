import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Driver } from './support/driver.js';
import { folder } from './support/folder.js';
import { RULES } from './support/rules.js';

const open = { guard: 'g', rulesets: [{ name: 'r', yaml: RULES }] };
const deploy = { tool: 'Deploy', args: { to: 'production' } };

/**
 * What a driver answers to lines, and its exit code.
 *
 * @param {import('node:test').TestContext} t
 * @param {(string | Buffer)[]} lines
 */
async function talk(t, lines) {
  const driver = Driver.ours(t);
  /** @type {Buffer[]} */
  const said = [];
  driver.process.stdout.on('data', (chunk) => said.push(chunk));
  for (const line of lines) driver.process.stdin.write(Buffer.concat([Buffer.from(line), Buffer.from('\n')]));
  const code = await driver.end();
  return { code, answers: Buffer.concat(said).toString().trim().split('\n') };
}

test('what is no request is answered and ends nothing', async (t) => {
  const deep = `{"id":[1.0],"op":"x","deep":${'['.repeat(50_000)}${']'.repeat(50_000)}}`;
  const lines = ['nonsense', '[]', '', '{"id":"a"}', '{"id":7,"op":5}', '{"id":7,"op":"hello","now_ms":-1}', Buffer.from([0xff]), deep, '{"op":"hello"}'];
  const { code, answers } = await talk(t, lines);
  assert.equal(code, 0);
  const ids = answers.map((answer) => answer.slice(0, answer.indexOf(',"ok"')));
  assert.deepEqual(ids, ['{"id":null', '{"id":null', '{"id":"a"', '{"id":7', '{"id":7', '{"id":null', '{"id":[1.0]', '{"id":null']);
  const parsed = answers.map((answer) => JSON.parse(answer));
  assert.deepEqual(parsed.map(({ ok, error }) => (ok ? 'ok' : error.code)), [...Array(7).fill('bad-request'), 'ok']);
  assert.deepEqual([parsed[7].result.host, parsed[7].result.protocol], ['node', 1]);
});

test('texts go through as they came', async (t) => {
  const { answers } = await talk(t, [
    JSON.stringify({ id: 1, op: 'open', ...open }),
    '{"id":12345678901234567890,"op":"begin","guard":"g","session_id":"s","call_id":"c","call":{"tool":"t","args":{"n":1.0,"m":12345678901234567890}}}',
    '{"id":1.0,"op":"finish","guard":"g","call_id":"c","result":{"x":1.0,"y":1e400}}',
    '{"id":3,"op":"events","guard":"g"}',
  ]);
  assert.ok(answers[1]?.startsWith('{"id":12345678901234567890,"ok":true'));
  assert.ok(answers[2]?.startsWith('{"id":1.0,') && answers[2].includes('"result":{"x":1.0,"y":1e400}'), answers[2]);
  assert.ok(answers[3]?.includes('"tool_args":{"n":1.0,"m":12345678901234567890}'), answers[3]);
});

test('who is asked may answer, or the deadline does', async (t) => {
  const driver = Driver.ours(t);
  await driver.ask('open', open);
  const held = driver.ask('begin', { guard: 'g', session_id: 's', call_id: 'c1', call: deploy, hold: true });
  // Answers to what comes behind it need not wait.
  await driver.ask('hello');
  const answered = await driver.ask('approve', { guard: 'g', call_id: 'c1', outcome: 'approved', approver: 'ann' });
  assert.deepEqual([answered.action, (await held).action], ['allow', 'allow']);

  await driver.ask('begin', { guard: 'g', session_id: 's', call_id: 'c2', call: deploy });
  const waited = driver.ask('approve', { guard: 'g', call_id: 'c2' });
  await driver.ask('hello', { now_ms: Date.now() + 120_000 });
  assert.equal((await waited).action, 'block');
  const late = await driver.ask('approve', { guard: 'g', call_id: 'c2', outcome: 'approved' });
  assert.equal(late.action, 'block', 'what the deadline has decided');
  await assert.rejects(driver.ask('approve', { guard: 'g', call_id: 'none', outcome: 'approved' }), { code: 'not-found' });

  // An allowed call that nobody finishes is closed.
  await driver.ask('begin', { guard: 'g', session_id: 's', call_id: 'c3', call: { tool: 't', args: {} } });
  await driver.ask('events', { guard: 'g' });
  await driver.ask('hello', { now_ms: Date.now() + 3 * 3_600_000 });
  const { events } = await driver.ask('events', { guard: 'g' });
  assert.ok(events.some((/** @type {any} */ { action, error }) => action === 'call_failed' && error === 'abandoned'), JSON.stringify(events));
  await assert.rejects(driver.ask('finish', { guard: 'g', call_id: 'c3', result: 1 }), { code: 'not-found' });
});

test('requests of one session keep their order when they run at the same time', async (t) => {
  const driver = Driver.ours(t);
  await driver.ask('open', { ...open, options: { limits: { max_attempts: 6 } } });
  const begun = Array.from({ length: 10 }, (_, at) =>
    driver.ask('begin', { guard: 'g', session_id: 's', call_id: `c${at}`, call: { tool: 't', args: {} }, parallel: true }),
  );
  const actions = (await Promise.all(begun)).map(({ action }) => action);
  assert.deepEqual(actions, [...Array(5).fill('allow'), ...Array(5).fill('block')]);
});

test('open calls go on after a restart', async (t) => {
  const store = { path: await folder(t) };
  const first = Driver.ours(t);
  await first.ask('open', { ...open, store });
  await first.ask('begin', { guard: 'g', session_id: 's', call_id: 'asked', call: deploy });
  await first.ask('begin', { guard: 'g', session_id: 's', call_id: 'run', call: { tool: 't', args: {} } });
  first.process.kill('SIGKILL');
  await first.ended;
  const second = Driver.ours(t);
  await second.ask('open', { ...open, store });
  assert.equal((await second.ask('approve', { guard: 'g', call_id: 'asked', outcome: 'approved' })).action, 'allow');
  assert.equal((await second.ask('finish', { guard: 'g', call_id: 'run', result: 'sk-abc' })).result, '[REDACTED]');
  await assert.rejects(second.ask('begin', { guard: 'g', session_id: 's', call_id: 'asked', call: deploy }), { code: 'conflict' });
  assert.equal(await second.end(), 0);
});

test('what this host does not have it says', async (t) => {
  const driver = Driver.ours(t);
  await assert.rejects(driver.ask('open', { ...open, store: 'redis://localhost' }), { code: 'unsupported' });
  await assert.rejects(driver.ask('open', { ...open, plugins: ['x.wasm'] }), { code: 'unsupported' });
  await assert.rejects(driver.ask('toString'), { code: 'bad-request' });
  await assert.rejects(driver.ask('begin', { guard: 'g' }), { code: 'not-found' });
  const { diagnostics } = await driver.ask('check', { rulesets: [{ name: 'r', yaml: 'x: 1' }] });
  assert.ok(diagnostics.length > 0 && diagnostics[0].end_line >= 0);
});
