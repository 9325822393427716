import assert from 'node:assert/strict';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { BackendStore, MemoryStore, SqliteStore } from '../src/index.js';
import { Driver, HOST } from './support/driver.js';
import { folder } from './support/folder.js';
import { opened } from './support/opened.js';
import { RULES } from './support/rules.js';

/** @typedef {import('../src/index.js').Store} Store */
/** @typedef {import('../src/store.js').OpenCall} OpenCall */

/** @type {[string, (t: import('node:test').TestContext) => Promise<Store>][]} */
const STORES = [
  ['memory', async () => new MemoryStore()],
  ['sqlite', async (t) => {
    const store = await SqliteStore.open(await folder(t));
    t.after(() => store.end());
    return store;
  }],
  ['sqlite, durable', async (t) => {
    const store = await SqliteStore.open(await folder(t), { durable: true });
    t.after(() => store.end());
    return store;
  }],
];

const visit = { session: 's', now: 1_000, expires: 10_000 };

/**
 * @param {string} callId
 * @param {number} deadline
 * @param {OpenCall['state']} [state]
 * @returns {OpenCall}
 */
function call(callId, deadline, state = 'allowed') {
  return { guard: 'g', callId, session: 's', call: '{"n":1.0}', ticket: '{}', approval: null, state, deadline };
}

for (const [name, make] of STORES) {
  test(`${name}: operations on one key go in order, each write has a version of its own`, async (t) => {
    const store = await make(t);
    const [first, second, read, other, gone, again] = await store.perform(visit, [
      { increment: { key: 'n', amount: 1 } },
      { increment: { key: 'n', amount: 2 } },
      { get: 'n' },
      { get: 'nothing' },
      { delete: 'n' },
      { put: { key: 'n', value: 'ü\u0001' } },
    ]);
    assert.equal(/** @type {any} */ (first).done.value, '1');
    assert.deepEqual(read, second);
    assert.deepEqual(other, { done: { value: null, version: '0' } });
    assert.deepEqual(gone, { done: { value: null, version: '0' } });
    const version = /** @type {any} */ (again).done.version;
    assert.ok(Number(version) > Number(/** @type {any} */ (second).done.version));
    const [stale, fresh, found] = await store.perform(visit, [
      { put: { key: 'n', value: 'x', expected: '0' } },
      { put: { key: 'n', value: 'x', expected: version } },
      { scan: 'n' },
    ]);
    assert.deepEqual(stale, { conflict: { value: 'ü\u0001', version } });
    assert.ok('done' in /** @type {object} */ (fresh));
    assert.deepEqual(found, { found: [['n', 'x']] });
  });

  test(`${name}: what is no counter is not counted, and none runs over`, async (t) => {
    const store = await make(t);
    const values = ['x', '1.0', '', '9223372036854775807', '9223372036854775806'];
    for (const value of values) await store.perform(visit, [{ put: { key: value || 'empty', value } }]);
    const outcomes = await store.perform(visit, values.map((value) => ({ increment: { key: value || 'empty', amount: 1 } })));
    assert.deepEqual(outcomes.map((outcome) => ('failed' in outcome ? 'failed' : 'done')), ['failed', 'failed', 'failed', 'failed', 'done']);
    assert.equal(/** @type {any} */ (outcomes[4]).done.value, '9223372036854775807');
  });

  test(`${name}: an idle session is forgotten, one with an open call is not`, async (t) => {
    const store = await make(t);
    const put = [{ put: { key: 'k', value: 'v' } }];
    const read = async (/** @type {number} */ now) => {
      const [entry] = await store.perform({ session: 's', now, expires: now + 1_000 }, [{ get: 'k' }]);
      return /** @type {any} */ (entry).done.value;
    };
    await store.perform({ session: 's', now: 0, expires: 1_000 }, put);
    assert.equal(await read(500), 'v');
    assert.equal(await read(1_400), 'v', 'who comes puts the end off');
    assert.equal(await read(9_000), null);
    await store.perform({ session: 's', now: 9_000, expires: 10_000 }, put);
    await store.open(call('c', 50_000));
    assert.equal(await store.expire(20_000), 0);
    assert.equal(await read(20_000), 'v');
    const claimed = /** @type {any} */ (await store.claim('g', 'c', 20_000, 30_000));
    await store.close('g', 'c', claimed.claim);
    assert.equal(await store.expire(40_000), 1);
  });

  test(`${name}: of two who take a call only one gets it, until the claim ends`, async (t) => {
    const store = await make(t);
    assert.equal(await store.open(call('c', 5_000, 'asking')), true);
    assert.equal(await store.open(call('c', 6_000)), false);
    const one = /** @type {any} */ (await store.claim('g', 'c', 1_000, 2_000));
    assert.deepEqual(one.yes, call('c', 5_000, 'asking'));
    assert.equal(await store.claim('g', 'c', 1_500, 2_500), 'busy');
    const two = /** @type {any} */ (await store.claim('g', 'c', 2_000, 3_000));
    assert.equal(await store.update(call('c', 7_000), one.claim), false, 'a claim that has ended changes nothing');
    assert.equal(await store.close('g', 'c', one.claim), false);
    assert.deepEqual(await store.due('g', 9_000, 10), ['c']);
    assert.deepEqual(await store.due('g', 2_500, 10), []);
    assert.equal(await store.update(call('c', 7_000), two.claim), true);
    assert.deepEqual(await store.find('g', 'c'), call('c', 7_000));
    assert.equal(await store.claim('g', 'none', 0, 1), 'missing');
    assert.equal(await store.claim('h', 'c', 0, 1), 'missing');
  });

  test(`${name}: calls are listed and due by deadline`, async (t) => {
    const store = await make(t);
    assert.equal(await store.nextDeadline('g'), null);
    for (const [id, deadline] of /** @type {[string, number][]} */ ([['b', 300], ['a', 300], ['c', 100]])) {
      await store.open(call(id, deadline));
    }
    assert.deepEqual((await store.list('g', 10)).map(({ callId }) => callId), ['c', 'a', 'b']);
    assert.deepEqual((await store.list(null, 2)).length, 2);
    assert.deepEqual(await store.due('g', 300, 2), ['c', 'a']);
    assert.equal(await store.nextDeadline('g'), 100);
    await store.remember('o', 'n', 'v');
    assert.equal(await store.memory('o', 'n'), 'v');
    await store.remember('o', 'n', null);
    assert.equal(await store.memory('o', 'n'), null);
  });
}

test('sqlite: the files are their owner’s alone', async (t) => {
  const at = join(await folder(t), 'new', 'store');
  const store = await SqliteStore.open(at);
  await store.perform(visit, [{ put: { key: 'k', value: 'v' } }]);
  for (const file of await readdir(at)) assert.equal((await stat(join(at, file))).mode & 0o077, 0, file);
  await store.end();
  await assert.rejects(SqliteStore.open('/dev/null/x'), { code: 'unavailable' });
});

test('sqlite: two stores on one file lose no write', async (t) => {
  const at = await folder(t);
  const stores = await Promise.all([SqliteStore.open(at), SqliteStore.open(at), SqliteStore.open(at)]);
  t.after(() => Promise.all(stores.map((store) => store.end())));
  const steps = stores.flatMap((store) =>
    Array.from({ length: 40 }, () => store.perform(visit, [{ increment: { key: 'n', amount: 1 } }])),
  );
  const versions = (await Promise.all(steps)).map(([outcome]) => /** @type {any} */ (outcome).done.version);
  assert.equal(new Set(versions).size, 120);
  const [entry] = await /** @type {SqliteStore} */ (stores[0]).perform(visit, [{ get: 'n' }]);
  assert.equal(/** @type {any} */ (entry).done.value, '120');
});

test('a simple backend keeps sessions', async () => {
  /** @type {Map<string, string>} */
  const kept = new Map();
  const backend = {
    get: async (/** @type {string} */ key) => kept.get(key),
    set: async (/** @type {string} */ key, /** @type {string} */ value) => void kept.set(key, value),
    delete: async (/** @type {string} */ key) => void kept.delete(key),
    increment: async (/** @type {string} */ key, /** @type {number} */ amount) => {
      const sum = Number(kept.get(key) ?? 0) + amount;
      kept.set(key, String(sum));
      return sum;
    },
  };
  const guard = await opened.fromYamlString(RULES, { storageBackend: backend, sessionId: 's' });
  await guard.run('Bash', { command: 'ls' }, () => 1);
  assert.ok([...kept.entries()].some(([key, value]) => key.endsWith(':attempts') && value === '1'), JSON.stringify([...kept]));
  const broken = new BackendStore({ ...backend, get: () => { throw new Error('down'); }, increment: () => NaN });
  const closed = await opened.fromYamlString(RULES, { storageBackend: broken });
  await assert.rejects(closed.run('Bash', { command: 'ls' }, () => assert.fail('it must not run')), { code: 'denied' });
});

const STAGES = `apiVersion: edictum/v1
kind: Workflow
metadata: {name: w}
stages:
  - {id: read, tools: [Read], exit: [{condition: 'file_read("a.txt")'}]}
  - {id: write, tools: [Write]}
`;

test('state moves between this host and the reference host', { skip: HOST ? false : 'no reference host here' }, async (t) => {
  const path = await folder(t);
  const open = { guard: 'g', rulesets: [{ name: 'r', yaml: RULES }], workflow: STAGES, store: { path } };
  const begin = (/** @type {Driver} */ driver, /** @type {string} */ id, /** @type {any} */ call) =>
    driver.ask('begin', { guard: 'g', session_id: 's', call_id: id, call });

  const rust = Driver.reference(t);
  await rust.ask('open', open);
  assert.equal((await begin(rust, 'c1', { tool: 'Read', args: { path: 'a.txt' } })).action, 'allow');
  // Ended hard: what is in the store is all there is.
  rust.process.kill('SIGKILL');
  await rust.ended;

  const ours = Driver.ours(t);
  await ours.ask('open', open);
  assert.equal((await ours.ask('finish', { guard: 'g', call_id: 'c1', result: 'text' })).success, true);
  const written = await begin(ours, 'c2', { tool: 'Write', args: { path: 'b.txt' } });
  assert.equal(written.action, 'allow', written.reason);
  assert.equal(written.workflow.active_stage, 'write');
  const counters = await ours.ask('counters', { guard: 'g', session_id: 's' });
  const workflow = await ours.ask('workflow', { guard: 'g', session_id: 's', do: 'state' });
  ours.process.kill('SIGKILL');
  await ours.ended;

  const back = Driver.reference(t);
  await back.ask('open', open);
  assert.deepEqual(await back.ask('counters', { guard: 'g', session_id: 's' }), counters);
  assert.deepEqual(await back.ask('workflow', { guard: 'g', session_id: 's', do: 'state' }), workflow);
  assert.equal((await back.ask('finish', { guard: 'g', call_id: 'c2', result: 'done' })).success, true);
});
