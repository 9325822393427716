import assert from 'node:assert/strict';
import { test } from 'node:test';

import { bare, splice } from '../src/call.js';
import { now, setNow } from '../src/clock.js';
import { engine } from '../src/engine.js';
import { EventBuffer, RawJson } from '../src/index.js';
import { cut, elements, fields, jsonOf } from '../src/json.js';
import { argumentsOf, camelCased, outputOf } from '../src/native.js';
import { Turns } from '../src/turns.js';

test('numbers, escapes, order and what comes twice stay as they came', () => {
  const call = '{ "tool" : "t", "args": {"a": 1.0, "b":12345678901234567890, "c": 1e400, "d":"\\ud800\\u0041\\"}"} ,"tool":null}';
  assert.deepEqual(cut(call), [
    ['tool', '"t"'],
    ['args', '{"a": 1.0, "b":12345678901234567890, "c": 1e400, "d":"\\ud800\\u0041\\"}"}'],
    ['tool', 'null'],
  ]);
  assert.equal(fields(call).tool, 'null');
  assert.deepEqual(cut(' {} '), []);
  assert.deepEqual(cut('{"\\u0061":[]}'), [['a', '[]']]);
  assert.deepEqual(elements(' [ 1.0 , "a,]" ,[ ],{"b":[1,2]} ]'), ['1.0', '"a,]"', '[ ]', '{"b":[1,2]}']);
  assert.deepEqual(elements('[]'), []);
});

test('cutting agrees with the component’s own members, and with what JSON.parse reads', async () => {
  const made = await engine();
  let seed = 7;
  const random = (/** @type {number} */ below) => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed % below;
  };
  /** @returns {any} */
  const value = (depth = 0) => {
    switch (random(depth > 3 ? 5 : 7)) {
      case 0: return random(1_000) / 8;
      case 1: return ['', 'a"b', '\\', 'ü😀', '\\"', '{[,:]}', '\u0000\u001f', '\ud800', 'x\\\\'][random(9)];
      case 2: return null;
      case 3: return random(2) === 0;
      case 4: return -random(9);
      case 5: return Array.from({ length: random(4) }, () => value(depth + 1));
      default: return object(depth + 1);
    }
  };
  const object = (depth = 0) =>
    Object.fromEntries(Array.from({ length: random(5) }, (_, at) => [`${['k', 'a"', '\\', 'é'][random(4)]}${at}`, value(depth)]));
  for (let round = 0; round < 500; round += 1) {
    const one = object();
    const text = JSON.stringify(one, null, random(2) * random(3));
    const members = cut(text);
    assert.deepEqual(members, made.ask((decider) => decider.members(text)), text);
    assert.deepEqual(Object.fromEntries(members.map(([name, raw]) => [name, JSON.parse(raw)])), JSON.parse(text));
  }
});

test('a caller cannot write the host’s members', () => {
  const call = '{"session_id":"other","\\u0063all_id":"x","tool":"t","static_principal":null,"agent_id":1,"parent_session_id":"p"}';
  assert.equal(splice(call, [['call_id', '"c\\"1"'], ['agent_id', undefined]]), '{"tool":"t","call_id":"c\\"1"}');
  assert.equal(splice('{}', []), '{}');
});

test('a bare call names the call and nothing else', () => {
  const call = `{"tool":"t","args":{"secret":1},"metadata":{},"principal":{"role":"r"},"call_id":"c","environment":"${'x'.repeat(100_000)}"}`;
  assert.equal(bare(call), '{"args":{},"tool":"t","call_id":"c"}');
});

test('values become texts, or are refused', () => {
  const value = { a: [1, undefined, -0.5, 10n ** 20n, null], b: undefined, c: new RawJson('1.0'), d: new Date(0), 'e"': '\ud800' };
  assert.equal(jsonOf(value), '{"a":[1,null,-0.5,100000000000000000000,null],"c":1.0,"d":"1970-01-01T00:00:00.000Z","e\\"":"\\ud800"}');
  const hostile = [NaN, Infinity, Symbol('x'), () => 1, new Map(), new Set(), Buffer.from('x').buffer, new (class Own {})()];
  for (const value of hostile) assert.throws(() => jsonOf({ value }), { code: 'bad-request' });
  assert.throws(() => new RawJson('{"a":secret}'), (error) => error instanceof Error && !error.message.includes('secret'));
  assert.equal(outputOf(new Map([['k', NaN]])), JSON.stringify("Map(1) { 'k' => NaN }"));
  const own = JSON.parse('{"__proto__":{"x":1}}');
  assert.deepEqual(argumentsOf(own), { text: '{"__proto__":{"x":1}}', value: own });
});

test('names of results are in camelCase, but those that belong to others', () => {
  const said = { rules_evaluated: 1, tool_args: { my_arg: 1 }, deep: [{ policy_error: false }], metadata: { a_b: 1 } };
  assert.deepEqual(camelCased(said), { rulesEvaluated: 1, toolArgs: { my_arg: 1 }, deep: [{ policyError: false }], metadata: { a_b: 1 } });
});

test('turns come in the order in which they were asked for, and leave nothing behind', async () => {
  const turns = new Turns();
  /** @type {number[]} */
  const order = [];
  const asked = [30, 0, 10].map((wait, at) =>
    turns.take('s', async () => {
      await new Promise((resolve) => setTimeout(resolve, wait));
      order.push(at);
      if (at === 1) throw new Error('failed');
    }),
  );
  await turns.take('t', () => assert.deepEqual(order, []));
  const ended = await Promise.allSettled(asked);
  assert.deepEqual([order, ended.map(({ status }) => status)], [[0, 1, 2], ['fulfilled', 'rejected', 'fulfilled']]);
  assert.equal(turns.size, 0);
});

test('a full buffer drops the oldest and says so', () => {
  const buffer = new EventBuffer(10);
  buffer.keep(['1234', '5678', '90ab']);
  assert.deepEqual(buffer.take(), { events: ['5678', '90ab'], dropped: 1 });
  assert.deepEqual(buffer.take(), { events: [], dropped: 0 });
  buffer.keep(['{"event_id":"e"}'.padEnd(1, ' ')]);
  assert.equal(buffer.take().dropped, 1);
  const wide = new EventBuffer();
  wide.keep(['{"event_id":"e","n":1.0}', '{"bare":true}']);
  assert.deepEqual(wide.take().events, ['{"sequence":0,"event_id":"e","n":1.0}', '{"bare":true}']);
});

test('a set clock goes on from there', (t) => {
  t.after(() => setNow(Date.now()));
  setNow(1_000);
  assert.ok(now() >= 1_000 && now() < 60_000);
  setNow(Number.MAX_SAFE_INTEGER);
  assert.ok(now() < Number.MAX_SAFE_INTEGER);
});
