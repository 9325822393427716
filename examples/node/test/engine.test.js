import assert from 'node:assert/strict';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { test } from 'node:test';

import { bounded } from '../src/component.js';
import { Engine, engine } from '../src/engine.js';
import { EventBuffer, Guard, MemoryStore } from '../src/index.js';
import { HEAD, RULES, manyRules } from './support/rules.js';

/** @param {string} text */
const ruleset = (text) => [{ name: 'r', text }];

const LS = '{"tool":"Bash","args":{"command":"ls"}}';

test('a thousand rules are loaded and reloaded in slices that hold up nobody', async (t) => {
  const made = await engine();
  // A busy machine takes the processor away in the middle of a stretch: what counts is the processor's time, not the clock's.
  /** @type {number[][]} */
  const loads = [];
  let since = process.cpuUsage();
  const spent = () => {
    const { user, system } = process.cpuUsage(since);
    return (user + system) / 1_000;
  };
  made.watcher = { begin: () => (since = process.cpuUsage()), over: () => loads.at(-1)?.push(spent()) };
  t.after(() => (made.watcher = undefined));
  const delay = monitorEventLoopDelay({ resolution: 1 });
  /** @type {Guard | undefined} */
  let guard;
  let turns = 0;
  let over = false;
  const turning = (async () => {
    for (; !over; turns += 1) await new Promise(setImmediate);
  })();
  delay.enable();
  for (let load = 0; load < 12; load += 1) {
    loads.push([]);
    const text = manyRules(1_000, `bad${load}x`);
    if (!guard) guard = await Guard.open({ rulesets: ruleset(text) });
    else await guard.reload(ruleset(text));
  }
  delay.disable();
  over = true;
  await turning;
  await guard?.close();

  const longest = loads.map((stretches) => Math.max(...stretches));
  t.diagnostic(`longest stretch of each load, in ms of processor: ${longest.map((one) => one.toFixed(1)).join(' ')}`);
  t.diagnostic(`timers late by ${(delay.percentile(50) / 1e6).toFixed(2)} ms (median), ${(delay.max / 1e6).toFixed(2)} ms (most)`);
  const fewest = Math.min(...loads.map((stretches) => stretches.length));
  assert.ok(fewest >= 5 && turns >= fewest * loads.length, `at least ${fewest} stretches, ${turns} turns of others`);
  // Whatever else this process does at that moment (it compiles what runs often) counts too: not in every load.
  assert.ok(median(longest) < 5, 'in most loads no stretch takes 5 ms');
});

test('a reload goes on under the calls of many sessions', async () => {
  const guard = await Guard.open({ rulesets: ruleset(RULES), sink: new EventBuffer() });
  const revisions = new Set([guard.policyVersion]);
  let over = false;
  const reloading = (async () => {
    for (let round = 0; round < 10; round += 1) {
      const text = round % 2 === 0 ? manyRules(200, `x${round}y`) : RULES;
      revisions.add(await guard.reload(ruleset(text)));
    }
    over = true;
  })();
  let calls = 0;
  const session = async (/** @type {number} */ at) => {
    while (!over) {
      const decision = await guard.begin({ call: LS, sessionId: `s${at}` });
      assert.equal(decision.action, 'allow');
      assert.equal(decision.policyError, false);
      await new Promise(setImmediate);
      const end = await guard.finish(decision.callId, { output: '"ok"' });
      assert.equal(end.success, true);
      calls += 1;
    }
  };
  const sessions = Array.from({ length: 20 }, (_, at) => session(at));
  await Promise.all([reloading, ...sessions]);
  assert.ok(calls >= 20 && revisions.size >= 6, `${calls} calls, ${revisions.size} revisions`);
  const counted = await Promise.all(sessions.map((_, at) => guard.operate(`s${at}`, '{"do":"counters"}')));
  assert.equal(counted.reduce((sum, text) => sum + JSON.parse(text).execs, 0), calls);
  await guard.close();
});

test('steps of one session go one after another', async () => {
  const guard = await Guard.open({ rulesets: ruleset(RULES), options: { limits: { max_attempts: 11 } } });
  const decisions = await Promise.all(Array.from({ length: 20 }, () => guard.begin({ call: LS })));
  assert.deepEqual(decisions.map(({ action }) => action), [...Array(10).fill('allow'), ...Array(10).fill('block')]);
  await guard.close();
});

test('a call that breaks an instance is blocked, and the next one has another', async () => {
  // Enough for the rules, and not for what comes.
  const small = await Engine.make({ maxMemory: 24 << 20, alone: true });
  const events = new EventBuffer();
  const guard = await Guard.open({ rulesets: ruleset(RULES), sink: events, engine: small });
  assert.equal((await guard.begin({ call: LS })).action, 'allow');
  const before = small.instances;
  const huge = await guard.begin({ call: `{"tool":"Bash","args":{"command":"${'x'.repeat(14_000_000)}"}}` });
  assert.deepEqual([huge.action, huge.policyError], ['block', true]);
  assert.ok(small.instances > before, 'the instance has been replaced');
  const said = events.take().events.map((event) => JSON.parse(event)).find(({ call_id }) => call_id === huge.callId);
  assert.equal(said?.action, 'call_blocked', 'the log has it too');
  assert.equal((await guard.begin({ call: LS })).action, 'allow');
  await guard.close();

  const observing = await Guard.open({ rulesets: ruleset(RULES.replace('enforce', 'observe')), engine: small });
  const seen = await observing.begin({ call: `{"tool":"Bash","args":{"command":"${'x'.repeat(14_000_000)}"}}` });
  assert.deepEqual([seen.action, seen.observed, seen.policyError], ['allow', true, true]);
  await observing.close();
});

test('what cannot be finished is suppressed', async () => {
  const small = await Engine.make({ maxMemory: 24 << 20, alone: true });
  const guard = await Guard.open({ rulesets: ruleset(RULES), engine: small });
  const { callId } = await guard.begin({ call: LS });
  const end = await guard.finish(callId, { output: JSON.stringify('x'.repeat(14_000_000)) });
  assert.equal(end.success, false);
  assert.ok(end.replacement?.includes('SUPPRESSED'), end.replacement);
  await guard.close();
});

test('a store that is lost blocks, and what ran meanwhile is closed by its copy', async () => {
  const store = new MemoryStore();
  store.remote = true;
  let down = false;
  for (const method of /** @type {const} */ (['perform', 'open', 'find', 'claim', 'close'])) {
    const works = /** @type {(...values: any[]) => any} */ (store[method]).bind(store);
    /** @type {any} */ (store)[method] = async (/** @type {any[]} */ ...values) => {
      if (down) throw new Error('gone');
      return works(...values);
    };
  }
  const events = new EventBuffer();
  const guard = await Guard.open({ rulesets: ruleset(RULES), store, sink: events });
  const { callId } = await guard.begin({ call: LS });
  down = true;
  const blocked = await guard.begin({ call: LS });
  assert.deepEqual([blocked.action, blocked.policyError], ['block', true]);
  const end = await guard.finish(callId, { output: '"secret"' });
  assert.ok(end.replacement?.includes('SUPPRESSED'));
  const said = events.take().events.map((event) => JSON.parse(event)).filter(({ call_id }) => call_id === callId);
  assert.deepEqual(said.map(({ action }) => action), ['call_allowed', 'call_failed']);
  await guard.close();

  const observing = await Guard.open({ rulesets: ruleset(RULES.replace('enforce', 'observe')), store });
  const stranded = await observing.begin({ call: LS });
  assert.deepEqual([stranded.action, stranded.policyError], ['allow', true]);
  down = false;
  assert.equal((await observing.finish(stranded.callId, { output: '"out"' })).replacement, undefined);
  await observing.close();
});

test('a text of many megabytes is judged in another thread', async () => {
  const guard = await Guard.open({ rulesets: ruleset(RULES) });
  const begun = guard.begin({ call: `{"tool":"Bash","args":{"command":"${'x'.repeat(3_000_000)} push --force"}}` });
  let turns = 0;
  const ticking = setInterval(() => (turns += 1), 1);
  assert.equal((await begun).action, 'block');
  clearInterval(ticking);
  assert.ok(turns > 0, 'the event loop had its turns');
  await guard.close();
});

test('guards with equal texts share a policy, and the last one lets it go', async () => {
  const made = await Engine.make({ alone: true });
  const guards = await Promise.all([1, 2, 3].map(() => Guard.open({ rulesets: ruleset(RULES), engine: made })));
  const more = await Guard.open({ rulesets: ruleset(RULES), engine: made });
  for (const guard of [...guards, more]) {
    assert.equal((await guard.begin({ call: LS })).action, 'allow');
    await guard.close();
  }
  const again = await Guard.open({ rulesets: ruleset(RULES), engine: made });
  assert.equal((await again.begin({ call: LS })).action, 'allow');
  await again.close();
  assert.equal(made.instances, 1);
});

test('what belongs to the environment is seen as it is at load', async () => {
  process.env.EDICTUM_TEST_PLACE = 'here';
  const text = `${HEAD}rules:
  - {id: place, type: pre, tool: t, when: {env.EDICTUM_TEST_PLACE: {equals: here}}, then: {action: block, message: here}}
`;
  const guard = await Guard.open({ rulesets: ruleset(text) });
  delete process.env.EDICTUM_TEST_PLACE;
  assert.equal((await guard.begin({ call: '{"tool":"t","args":{}}' })).reason, 'here');
  const fixed = await Guard.open({ rulesets: ruleset(text), options: { env: { EDICTUM_TEST_PLACE: 'there' } } });
  assert.equal((await fixed.begin({ call: '{"tool":"t","args":{}}' })).action, 'allow');
  await guard.close();
  await fixed.close();
});

test('a module’s memory gets a bound and nothing else changes', () => {
  const module = Uint8Array.from([0, 97, 115, 109, 1, 0, 0, 0, 5, 3, 1, 0, 1, 7, 10, 1, 6, 109, 101, 109, 111, 114, 121, 2, 0]);
  const instance = new WebAssembly.Instance(new WebAssembly.Module(bounded(module, 300)));
  const memory = /** @type {WebAssembly.Memory} */ (instance.exports.memory);
  assert.equal(memory.grow(299), 1);
  assert.throws(() => memory.grow(1));
});

/** @param {number[]} numbers */
function median(numbers) {
  return [...numbers].sort((one, two) => one - two)[Math.floor(numbers.length / 2)] ?? 0;
}
