import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';

import {
  CollectingAuditSink, Edictum, EdictumDenied, EdictumServerClient, MemoryStore, ServerApprovalBackend, ServerAuditSink,
  ServerBackend, ServerContractSource, SqliteStore, verifyBundleSignature,
} from '../src/index.js';
import { Driver, HOST } from './support/driver.js';
import { folder } from './support/folder.js';
import { engine, native, opened } from './support/opened.js';
import { HEAD, RULES } from './support/rules.js';
import { AGENT, Serve, until } from './support/serve.js';

const server = { skip: HOST ? false : 'no reference host here' };
const PROD = RULES.replace('name: test', 'name: prod');
const rulesets = { 'prod.yaml': PROD };

/**
 * @param {import('node:test').TestContext} t
 * @param {Serve} serve
 * @param {Partial<import('../src/index.js').FromServerOptions>} [more]
 */
async function connected(t, serve, more = {}) {
  const given = { url: serve.url, apiKey: AGENT, agentId: 'agent', bundleName: 'prod', engine, ...more };
  const guard = await Edictum.fromServer(given);
  t.after(() => guard.close());
  return guard;
}

test('the whole story: rules, sessions, approvals, news and the log of a server', server, async (t) => {
  const serve = await Serve.start(t, { rulesets });
  const guard = await connected(t, serve, { sessionId: 's' });
  assert.equal(await guard.run('Bash', { command: 'ls', n: 1 }, () => 'ok'), 'ok');
  await assert.rejects(guard.run('Bash', { command: 'git push --force' }, () => 1), /Not with force/);

  const twin = await connected(t, serve, { agentId: 'twin', sessionId: 's' });
  assert.equal((await twin.counters()).attempts, 2, 'its sessions are on the server');

  const deploying = guard.run('Deploy', { to: 'production' }, () => 'deployed');
  await serve.decide(true);
  assert.equal(await deploying, 'deployed');
  const refused = assert.rejects(guard.run('Deploy', { to: 'production' }, () => 1), EdictumDenied);
  await serve.decide(false);
  await refused;

  const before = guard.policyVersion;
  await serve.operator('PUT', '/v1/rulesets/prod', { yaml: PROD.replace('push --force', 'reset --hard') });
  await until(() => guard.policyVersion !== before && twin.policyVersion !== before);
  await assert.rejects(guard.run('Bash', { command: 'git reset --hard' }, () => 1), EdictumDenied);
  await assert.rejects(guard.reload(PROD), { code: 'conflict' });

  assert.equal(await guard.flush({ timeoutMs: 60_000 }), 0);
  const { events } = await serve.operator('GET', '/v1/events?agent_id=agent&limit=100');
  const actions = events.map((/** @type {any} */ { event }) => event?.action ?? 'none');
  assert.ok(events.length >= 8, `${events.length} events: ${actions}`);
  const health = await until(async () => {
    const health = await guard.health();
    return health.stream === 'live' && health;
  });
  assert.deepEqual([health.bundleName, health.log, health.unsentEvents, health.fromMemory], ['prod', 'ok', 0, false]);
});

test('guards with one server share its stream', server, async (t) => {
  const serve = await Serve.start(t, { rulesets });
  const guards = await Promise.all(Array.from({ length: 20 }, (_, at) => connected(t, serve, { agentId: `agent-${at}` })));
  await until(async () => (await guards[0]?.health())?.stream === 'live');
  const { connections = 0, streams = connections } = await serve.operator('GET', '/v1/health');
  assert.ok(streams <= 1, `${streams} streams`);
  const before = guards[0]?.policyVersion;
  await serve.operator('PUT', '/v1/rulesets/prod', { yaml: PROD.replace('push --force', 'reset --hard') });
  await until(() => guards.every((guard) => guard.policyVersion !== before));
});

test('a server that assigns', server, async (t) => {
  const assignments = 'assignments:\n  - {ruleset: prod, environment: production, tags: {team: data}}\n';
  const serve = await Serve.start(t, { rulesets: { ...rulesets, 'assignments.yaml': assignments } });
  const guard = await connected(t, serve, { bundleName: undefined, tags: { team: 'data' } });
  assert.equal((await guard.health()).bundleName, 'prod');
  const wrong = connected(t, serve, { bundleName: undefined, autoWatch: false });
  await assert.rejects(wrong, (error) => error instanceof Error && 'code' in error);
});

test('only what a trusted key has signed is taken', server, async (t) => {
  const at = await folder(t);
  const generate = (/** @type {string} */ path) =>
    JSON.parse(execFileSync(HOST ?? '', ['keygen', '-o', path, '--json'], { encoding: 'utf8' })).public_key;
  const key = join(at, 'key');
  const publicKey = generate(key);
  const other = generate(join(at, 'other'));
  const serve = await Serve.start(t, { rulesets, more: ['--signing-key', key] });
  const guard = await connected(t, serve, { verifySignatures: true, signingPublicKey: publicKey });
  assert.equal(guard.summary.name, 'prod');
  await assert.rejects(connected(t, serve, { verifySignatures: true, signingPublicKey: other, agentId: 'b' }));

  const client = new EdictumServerClient(serve.url, { apiKey: AGENT });
  t.after(() => client.close());
  const { yaml, signature } = await client.get('/v1/rulesets/prod/current', { env: 'production' });
  assert.equal(await verifyBundleSignature(yaml, signature, [other, publicKey]), publicKey.toLowerCase());
  await assert.rejects(verifyBundleSignature(`${yaml} `, signature, publicKey), { code: 'unauthorized' });
});

test('requests by hand', server, async (t) => {
  const serve = await Serve.start(t, { rulesets });
  const client = new EdictumServerClient(serve.url, { apiKey: AGENT, agentId: 'by-hand', env: 'production', bundleName: 'prod' });
  t.after(() => client.close());
  const payload = await client.get('/v1/rulesets/prod/current', { env: 'production' });
  assert.equal(payload.yaml, PROD);
  await client.put('/v1/sessions/a key', { value: 'v' });
  assert.equal((await client.get('/v1/sessions/a key')).value, 'v');
  await client.delete('/v1/sessions/a key');
  await assert.rejects(client.get('/v1/rulesets/none/current'), { code: /./ });
  const stranger = new EdictumServerClient(serve.url, { apiKey: 'edk_wrong' });
  t.after(() => stranger.close());
  await assert.rejects(stranger.get('/v1/rulesets/prod/current'), (error) => error instanceof Error && !error.message.includes('edk_wrong'));
});

test('each part can be used without the others', server, async (t) => {
  const serve = await Serve.start(t, { rulesets });
  const client = new EdictumServerClient(serve.url, { apiKey: AGENT, agentId: 'parts', bundleName: 'prod' });
  const auditSink = new ServerAuditSink(client);
  const storageBackend = new ServerBackend(client);
  const approvalBackend = new ServerApprovalBackend(client);
  t.after(() => Promise.all([client.close(), storageBackend.end(), approvalBackend.close()]));
  // Rules of its own; the rest is the server's.
  const own = { auditSink, storageBackend, approvalBackend, agentId: 'parts', sessionId: 's' };
  const guard = await opened.fromYamlString(RULES, { engine: 'component', ...own });
  await guard.run('Bash', { command: 'ls' }, () => 1);
  const deploying = guard.run('Deploy', { to: 'production' }, () => 'deployed');
  await serve.decide(true);
  assert.equal(await deploying, 'deployed');
  assert.equal((await guard.counters()).attempts, 2);
  assert.equal(await auditSink.flush({ timeoutMs: 60_000 }), 0);
  const { events } = await serve.operator('GET', '/v1/events?agent_id=parts&limit=100');
  assert.ok(events.length >= 4, `${events.length}`);

  await storageBackend.set('k', 'v');
  assert.deepEqual([await storageBackend.get('k'), await storageBackend.increment('n', 2), await storageBackend.get('none')], ['v', 2, null]);
  await storageBackend.delete('k');
  assert.equal(await storageBackend.get('k'), null);
});

test('a ruleset source tells of every ruleset', server, async (t) => {
  const serve = await Serve.start(t, { rulesets });
  const client = new EdictumServerClient(serve.url, { apiKey: AGENT, bundleName: 'prod' });
  const source = new ServerContractSource(client);
  t.after(() => Promise.all([client.close(), source.close()]));
  const first = await source.connect();
  assert.equal(first.yaml, PROD);
  await until(async () => (await source.health())?.stream === 'live');
  const next = PROD.replace('push --force', 'reset --hard');
  await serve.operator('PUT', '/v1/rulesets/prod', { yaml: next });
  const seen = [];
  for await (const { yaml, version } of source) {
    seen.push([yaml, version]);
    if (seen.length === 2) break;
  }
  assert.deepEqual(seen, [[PROD, 1], [next, 2]]);
});

test('while the server is away calls are blocked, and the log waits', native ? { skip: 'of the component' } : server, async (t) => {
  const store = await SqliteStore.open(await folder(t));
  t.after(() => store.end());
  const serve = await Serve.start(t, { rulesets });
  const sink = new CollectingAuditSink();
  const local = await connected(t, serve, { storageBackend: store, agentId: 'local', timeoutMs: 2_000 });
  const shared = await connected(t, serve, { agentId: 'shared', timeoutMs: 2_000, auditSink: sink });
  await local.run('Bash', { command: 'ls' }, () => 1);
  assert.equal(await local.flush({ timeoutMs: 60_000 }), 0);
  await serve.kill();

  // Whose sessions are here goes on; whose sessions are there does not.
  assert.equal(await local.run('Bash', { command: 'ls' }, () => 1), 1);
  const denied = shared.run('Bash', { command: 'ls' }, () => assert.fail('it must not run'));
  await assert.rejects(denied, (error) => error instanceof EdictumDenied && error.decision.policyError);
  assert.ok((await local.flush({ timeoutMs: 500 })) >= 2);
  await until(async () => (await local.health()).log === 'degraded');

  // A new start while it is away: the last ruleset that was taken.
  await Promise.all([local.close(), shared.close()]);
  const offline = await connected(t, serve, { storageBackend: store, agentId: 'local', timeoutMs: 2_000 });
  assert.equal((await offline.health()).fromMemory, true);
  assert.equal(await offline.run('Bash', { command: 'ls' }, () => 1), 1);
  const strict = connected(t, serve, { storageBackend: store, agentId: 'strict', timeoutMs: 2_000, offlineStart: false });
  await assert.rejects(strict, (error) => error instanceof Error && 'code' in error);

  // It is back, and gets what it has missed.
  await offline.run('Bash', { command: 'whoami' }, () => 1);
  await Serve.start(t, { data: serve.data, listen: serve.address });
  assert.equal(await offline.flush({ timeoutMs: 60_000 }), 0);
});

test('a server that never answers holds up nobody else', async (t) => {
  /** @type {Set<import('node:net').Socket>} */
  const sockets = new Set();
  const silent = createServer((socket) => void sockets.add(socket));
  await new Promise((resolve) => silent.listen(0, '127.0.0.1', () => resolve(undefined)));
  t.after(() => {
    sockets.forEach((socket) => socket.destroy());
    silent.close();
  });
  const { port } = /** @type {import('node:net').AddressInfo} */ (silent.address());
  const client = new EdictumServerClient(`http://127.0.0.1:${port}`, { apiKey: AGENT, timeoutMs: 1_500 });
  const storageBackend = new ServerBackend(client);
  t.after(() => Promise.all([client.close(), storageBackend.end()]));
  const slow = await opened.fromYamlString(RULES, { engine: 'component', storageBackend });
  const quick = await opened.fromYamlString(RULES, { engine: 'component', storageBackend: new MemoryStore() });
  let waiting = true;
  const blocked = assert
    .rejects(slow.run('Bash', { command: 'ls' }, () => 1), EdictumDenied)
    .finally(() => (waiting = false));
  await until(() => sockets.size > 0);
  for (let call = 0; call < 200; call += 1) await quick.run('Bash', { command: 'ls' }, () => 1, { sessionId: `s${call}` });
  assert.ok(waiting, 'the other one still waits');
  await blocked;
});

test('plain http leaves this machine only where that is permitted', async () => {
  const options = { apiKey: AGENT, agentId: 'a', bundleName: 'prod' };
  await assert.rejects(Edictum.fromServer({ url: 'http://api.example.com', ...options }), (error) => {
    assert.ok(error instanceof Error && !error.message.includes(AGENT));
    return true;
  });
  await assert.rejects(Edictum.fromServer({ url: 'https://user:pw@api.example.com', ...options }));
});

test('the driver has all of it', server, async (t) => {
  const serve = await Serve.start(t, { rulesets });
  const driver = Driver.ours(t);
  assert.ok((await driver.ask('hello')).capabilities.includes('open_server'));
  const opened = await driver.ask('open_server', { guard: 'g', url: serve.url, api_key: AGENT, bundle_name: 'prod' });
  assert.equal(opened.bundle_name, 'prod');
  const call = { tool: 'Deploy', args: { to: 'production' } };
  const held = driver.ask('begin', { guard: 'g', session_id: 's', call_id: 'c', call, hold: true });
  await serve.decide(true);
  assert.equal((await held).action, 'allow');
  await driver.ask('finish', { guard: 'g', call_id: 'c', result: 'done' });
  assert.deepEqual(await driver.ask('flush', { guard: 'g', timeout_ms: 60_000 }), { unsent_events: 0 });
  const health = await driver.ask('health', { guard: 'g' });
  assert.deepEqual([health.log, health.policy_version], ['ok', opened.policy_version]);
  assert.deepEqual(await driver.ask('close', { guard: 'g' }), { unsent_events: 0 });
  assert.equal(await driver.end(), 0);
});

test('an observing guard, a workflow and the head of a ruleset go with a server too', server, async (t) => {
  const stages = 'apiVersion: edictum/v1\nkind: Workflow\nmetadata: {name: w}\nstages:\n  - {id: read, tools: [Read]}\n';
  const serve = await Serve.start(t, { rulesets: { 'prod.yaml': `${HEAD.replace('name: test', 'name: prod')}rules: []\n`.replace('rules: []', RULES.slice(RULES.indexOf('rules:'))) } });
  const guard = await connected(t, serve, { mode: 'observe', workflowContent: stages, approvalBackend: 'none' });
  const result = await guard.run('Bash', { command: 'git push --force' }, () => 'ran').catch((error) => error);
  assert.ok(result === 'ran' || result instanceof EdictumDenied);
  assert.equal((await guard.workflow()).active_stage, 'read');
});
