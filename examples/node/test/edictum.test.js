import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import {
  CollectingAuditSink, Edictum, EdictumConfigError, EdictumDenied, EdictumToolError, FileAuditSink, HookDecision,
  LocalApprovalBackend, RawJson, WorkflowRuntime,
} from '../src/index.js';
import { folder } from './support/folder.js';
import { native, opened } from './support/opened.js';
import { HEAD, RULES } from './support/rules.js';

test('a call that may run runs with the arguments that were judged', async () => {
  const guard = await opened.fromYamlString(RULES);
  const args = { command: 'ls', deep: { list: [1, null, 'x'] } };
  const ran = guard.run('Bash', args, (judged, { argsText, callId }) => {
    assert.deepEqual(judged, { command: 'ls', deep: { list: [1, null, 'x'] } });
    assert.equal(argsText, '{"command":"ls","deep":{"list":[1,null,"x"]}}');
    assert.match(callId, /^[0-9a-f-]{36}$/);
    return { ok: true };
  });
  // Changed while it is judged: what runs is what was judged.
  args.command = 'git push --force';
  assert.deepEqual(await ran, { ok: true });
  assert.deepEqual(await guard.counters(), { attempts: 1, execs: 1, consec_fail: 0, tools: { Bash: 1 } });
});

test('a call that must not run throws, and the tool is not called', async () => {
  /** @type {any[]} */
  const told = [];
  const guard = await opened.fromYamlString(RULES, {
    onBlock: (call, reason, name) => told.push([call.tool, reason, name]),
    onAllow: (call) => told.push([call.tool]),
  });
  const denied = guard.run('Bash', { command: 'git push --force' }, () => assert.fail('it must not run'));
  await assert.rejects(denied, (error) => {
    assert.ok(error instanceof EdictumDenied);
    assert.equal(error.message, 'Not with force: git push --force');
    assert.equal(error.decisionName, 'no-force');
    assert.equal(error.decisionSource, 'yaml_precondition');
    return true;
  });
  await guard.run('Bash', { command: 'ls' }, () => 1);
  assert.deepEqual(told, [['Bash', 'Not with force: git push --force', 'no-force'], ['Bash']]);
});

test('what a tool returns is judged, whatever it is', async () => {
  const guard = await opened.fromYamlString(RULES);
  const run = (/** @type {any} */ output) => guard.run('Read', {}, () => output);
  assert.equal(await run('KEY=sk-abc'), 'KEY=[REDACTED]');
  assert.deepEqual(await run({ text: 'sk-abc' }), JSON.parse('{"text":"[REDACTED]"}'));
  assert.equal(await run(undefined), undefined);
  const plain = new Map([['a', 1]]);
  assert.equal(await run(plain), plain, 'what nobody minds comes back as it is');
  // JSON would see an empty object here.
  const hidden = await run(new Map([['key', 'sk-abc']]));
  assert.ok(!String(JSON.stringify(hidden)).includes('sk-abc') && !(hidden instanceof Map), JSON.stringify(hidden));
});

test('a tool that fails says so, and its message is judged', async () => {
  const guard = await opened.fromYamlString(RULES);
  const failing = guard.run('Read', {}, () => {
    throw new Error('no access with sk-abc');
  });
  await assert.rejects(failing, (error) => {
    assert.ok(error instanceof EdictumToolError);
    assert.equal(error.message, 'no access with [REDACTED]');
    assert.equal(error.cause, undefined, 'the cause would say what was redacted');
    return true;
  });
  const plain = new Error('no access');
  await assert.rejects(guard.run('Read', {}, () => Promise.reject(plain)), (error) => {
    assert.ok(error instanceof EdictumToolError);
    assert.equal(error.cause, plain);
    return true;
  });
  assert.equal((await guard.counters()).consec_fail, 2);
});

test('numbers that a value cannot have go as text', async () => {
  const sink = new CollectingAuditSink();
  const rule = `${HEAD}rules:
  - {id: big, type: pre, tool: t, when: {args.n: {equals: 12345678901234567890}}, then: {action: block, message: 'n={args.n}'}}
`;
  const guard = await opened.fromYamlString(rule, { auditSink: sink });
  for (const args of ['{"n": 12345678901234567890}', new RawJson('{"n":12345678901234567890}'), { n: 12345678901234567890n }]) {
    await assert.rejects(guard.run('t', args, () => 1), /n=12345678901234567890/);
  }
  const one = await guard.run('t', { n: 12345678901234567889n, raw: new RawJson('1.0') }, (args, { argsText }) => [args, argsText]);
  assert.deepEqual(one, [{ n: 12345678901234567889n, raw: 1 }, '{"n":12345678901234567889,"raw":1.0}']);
  // As a number it is another one: rounded before anybody could judge it.
  await guard.run('t', { n: 12345678901234567000 }, () => 1);
});

test('what JSON would silently lose is refused', async () => {
  const guard = await opened.fromYamlString(RULES);
  const cyclic = /** @type {any} */ ({});
  cyclic.self = cyclic;
  for (const args of [{ n: NaN }, { f: () => 1 }, { m: new Map() }, cyclic, [], '[1]', '{', 5]) {
    await assert.rejects(guard.run('Bash', /** @type {any} */ (args), () => assert.fail('it must not run')), { code: /./ });
  }
  const dated = await guard.run('Bash', { at: new Date(0), none: undefined }, (args) => args);
  assert.deepEqual(dated, { at: '1970-01-01T00:00:00.000Z' });
});

test('a dry run counts nothing', async () => {
  const guard = await opened.fromYamlString(RULES);
  const result = await guard.evaluate('Bash', { command: 'git push --force' }, { output: 'sk-abc' });
  assert.equal(result.decision, 'block');
  assert.deepEqual(result.blockReasons, ['Not with force: git push --force']);
  assert.deepEqual(result.rules.map(({ id, passed, policyError }) => [id, passed, policyError]), [
    ['no-force', false, false],
    ['no-keys', false, false],
  ]);
  const batch = await guard.evaluateBatch([
    { tool: 'Bash', args: { command: 'ls' } },
    { tool: 'Read', output: 'sk-abc' },
    { tool: 'Bash', args: '{"command":"git push --force"}' },
  ]);
  assert.deepEqual(batch.map(({ decision }) => decision), ['allow', 'warn', 'block']);
  assert.equal((await guard.counters()).attempts, 0);
});

test('operators, selectors, hooks and the success check are the program’s, and may be async', async () => {
  const rules = `${HEAD}rules:
  - {id: odd, type: pre, tool: t, when: {args.n: {is_odd: true}}, then: {action: block, message: odd}}
  - {id: night, type: pre, tool: t, when: {clock.hour: {gt: 22}}, then: {action: block, message: late}}
`;
  let hour = 12;
  /** @type {any[]} */
  const after = [];
  const guard = await opened.fromYamlString(rules, {
    customOperators: { is_odd: async (value, operand) => (value % 2 === 1) === operand },
    customSelectors: { clock: (call) => ({ hour: call.args.late ? 23 : hour }) },
    hooks: [
      { name: 'gate', tools: 't*', before: (call) => (call.args.stop ? HookDecision.deny('stopped') : true) },
      { name: 'told', tools: '*', after: (call, output) => after.push([call.tool, output]) },
    ],
    successCheck: (tool, output) => tool !== 't' || output !== 'bad',
  });
  const run = (/** @type {any} */ args, output = 'good') => guard.run('t', args, () => output);
  await run({ n: 2 });
  await assert.rejects(run({ n: 3 }), /odd/);
  await assert.rejects(run({ n: 2, late: true }), /late/);
  await assert.rejects(run({ n: 2, stop: true }), (error) => error instanceof EdictumDenied && error.decisionName === 'gate');
  await assert.rejects(run({ n: 2 }, 'bad'), EdictumToolError);
  assert.deepEqual(after, [['t', 'good'], ['t', 'bad']]);
});

test('a callback that fails, or answers nonsense, blocks', async () => {
  const rules = `${HEAD}rules:
  - {id: odd, type: pre, tool: t, when: {args.n: {is_odd: true}}, then: {action: block, message: odd}}
`;
  for (const operator of [() => { throw new Error('broken'); }, () => 'yes', () => Promise.reject(new Error('broken')), () => new Promise(() => {})]) {
    const guard = await opened.fromYamlString(rules, {
      customOperators: /** @type {any} */ ({ is_odd: operator }),
      callbackDeadline: 50,
    });
    const denied = guard.run('t', { n: 2 }, () => assert.fail('it must not run'));
    await assert.rejects(denied, (error) => error instanceof EdictumDenied && error.decision.policyError);
  }
});

test('rules that need an answer nobody gives do not load', async () => {
  const rules = `${HEAD}rules:
  - {id: odd, type: pre, tool: t, when: {args.n: {is_odd: true}}, then: {action: block, message: odd}}
`;
  await assert.rejects(opened.fromYamlString(rules), EdictumConfigError);
  await assert.rejects(opened.fromYamlString(RULES, { options: { operators: ['is_odd'] } }), { code: 'unsupported' });
});

test('an ask goes to the approval backend, and without one it is a block', async () => {
  const deploy = (/** @type {Edictum} */ guard) => guard.run('Deploy', { to: 'production' }, () => 'done');
  const alone = await opened.fromYamlString(RULES);
  await assert.rejects(deploy(alone), /no approval backend/);

  for (const [answer, reason] of /** @type {const} */ ([[false, /./], [{ approved: true, status: 'denied' }, /./], [{ approved: 'yes' }, /./]])) {
    const guard = await opened.fromYamlString(RULES, { approvalBackend: () => /** @type {any} */ (answer) });
    await assert.rejects(deploy(guard), EdictumDenied, String(reason));
  }
  /** @type {any} */
  let asked;
  const yes = await opened.fromYamlString(RULES, {
    approvalBackend: async (request) => {
      asked = request;
      return { approved: true, approver: 'ann' };
    },
  });
  assert.equal(await deploy(yes), 'done');
  assert.equal(asked.message, 'Deploy?');
  assert.deepEqual(asked.toolArgs, { to: 'production' });

  const people = new LocalApprovalBackend();
  const local = await opened.fromYamlString(RULES, { approvalBackend: people });
  const waiting = deploy(local);
  while (people.pending.length === 0) await new Promise(setImmediate);
  assert.ok(people.decide(people.pending[0]?.callId ?? '', true, { approver: 'bob' }));
  assert.equal(await waiting, 'done');
});

test('a program may run tools itself, and settle', async () => {
  const guard = await opened.fromYamlString(RULES, { options: { approvals: 'host' } });
  const asked = await guard.begin('Deploy', { to: 'production' }, { callId: 'c' });
  assert.equal(asked.action, 'ask');
  if (!native) {
    const open = await guard.openCalls();
    assert.deepEqual(open.map(({ callId, state }) => [callId, state]), [['c', 'asking']]);
  }
  const settled = guard.settled('c');
  assert.equal((await guard.settle('c', 'approved', { approver: 'ann' })).action, 'allow');
  assert.equal((await settled).action, 'allow');
  const { result, conclusion } = await guard.finish('c', 'sk-abc');
  assert.equal(result, '[REDACTED]');
  assert.equal(conclusion.raw('redacted'), 'true');
  await assert.rejects(guard.finish('c', 'again'), { code: 'not-found' });
});

test('a reload that does not load leaves the old rules', async () => {
  const guard = await opened.fromYamlString(RULES);
  const before = guard.policyVersion;
  await assert.rejects(guard.reload(`${HEAD}rules: [{id: x}]`), (error) => {
    assert.ok(error instanceof EdictumConfigError);
    assert.ok(error.diagnostics.some(({ line }) => line > 0));
    return true;
  });
  assert.equal(guard.policyVersion, before);
  await guard.reload(RULES.replace('push --force', 'reset --hard'));
  assert.notEqual(guard.policyVersion, before);
  assert.equal(await guard.run('Bash', { command: 'git push --force' }, () => 'ran'), 'ran');
});

test('principals: static, set later, resolved', async () => {
  const rules = `${HEAD}rules:
  - {id: admins, type: pre, tool: t, when: {principal.role: {not_equals: admin}}, then: {action: block, message: '{principal.role}'}}
`;
  const guard = await opened.fromYamlString(rules, { principal: { role: 'dev' } });
  await assert.rejects(guard.run('t', {}, () => 1), /dev/);
  guard.setPrincipal({ role: 'admin' });
  assert.equal(await guard.run('t', {}, () => 1), 1);
  await assert.rejects(guard.run('t', {}, () => 1, { principal: { role: 'guest' } }), /guest/);
  assert.throws(() => guard.setPrincipal(/** @type {any} */ ('admin')), { code: 'bad-request' });
  const resolved = await opened.fromYamlString(rules, {
    principalResolver: async (tool, args) => ({ role: args.who ?? tool }),
  });
  await assert.rejects(resolved.run('t', {}, () => 1), /t/);
  assert.equal(await resolved.run('t', { who: 'admin' }, () => 1), 1);
});

test('files, templates, layers and several guards', async (t) => {
  const at = await folder(t);
  await writeFile(join(at, 'one.yaml'), RULES);
  await writeFile(join(at, 'mine.yaml'), RULES);
  const file = await opened.fromYaml(join(at, 'one.yaml'));
  assert.equal(file.summary.name, 'test');
  await writeFile(join(at, 'two.yaml'), RULES.replace('Not with force', 'Never'));
  const layered = await opened.fromYaml([join(at, 'one.yaml'), join(at, 'two.yaml')]);
  assert.equal(layered.report.overridden.length, 3);
  await assert.rejects(layered.run('Bash', { command: 'git push --force' }, () => 1), /Never/);
  await assert.rejects(Edictum.fromYaml(join(at, 'none.yaml')), { code: 'not-found' });

  const template = await opened.fromTemplate('file-agent');
  assert.equal(template.summary.name, 'file-agent');
  const mine = await opened.fromTemplate('mine', { templateDirs: [at] });
  assert.equal(mine.policyVersion, file.policyVersion);
  await assert.rejects(Edictum.fromTemplate('../one', { templateDirs: [join(at, 'sub')] }), { code: 'not-found' });

  const other = `${HEAD}rules:
  - {id: no-curl, type: pre, tool: Bash, when: {args.command: {contains: curl}}, then: {action: block, message: no curl}}
  - {id: no-force, type: pre, tool: Bash, when: {args.command: {contains: ls}}, then: {action: block, message: second}}
`;
  const second = await opened.fromYamlString(other);
  const both = await opened.fromMultiple([file, second]);
  await assert.rejects(both.run('Bash', { command: 'curl' }, () => 1), /no curl/);
  assert.equal(await both.run('Bash', { command: 'ls' }, () => 1), 1, 'the first to have an id counts');
});

test('the decision log goes to every sink, in order', async (t) => {
  const path = join(await folder(t), 'events.jsonl');
  const sink = new CollectingAuditSink();
  const guard = await opened.fromYamlString(RULES, { auditSink: [sink, new FileAuditSink(path)], environment: 'test' });
  await guard.run('Bash', { command: 'ls', token: 'abc' }, () => 1);
  await guard.run('Bash', { command: 'git push --force' }, () => 1).catch(() => {});
  const actions = sink.events.map(({ action, environment }) => [action, environment]);
  assert.deepEqual(actions, [['call_allowed', 'test'], ['call_executed', 'test'], ['call_blocked', 'test']]);
  assert.equal(sink.events[0].tool_args.token, '[REDACTED]');
  const lines = (await readFile(path, 'utf8')).trim().split('\n');
  assert.deepEqual(lines.map((line) => JSON.parse(line)), sink.events);
});

test('where the log is required, a sink that fails blocks', async () => {
  const auditSink = { emit: async () => { throw new Error('disk full'); } };
  const free = await opened.fromYamlString(RULES, { auditSink });
  assert.equal(await free.run('Bash', { command: 'ls' }, () => 1), 1);
  const strict = await opened.fromYamlString(RULES, { auditSink, options: { decision_log_required: true } });
  const denied = strict.run('Bash', { command: 'ls' }, () => assert.fail('it must not run'));
  await assert.rejects(denied, (error) => error instanceof EdictumDenied && error.decision.policyError);
  if (!native) assert.deepEqual(await strict.openCalls(), []);
});

test('a workflow goes from stage to stage, and is shared by guards', async () => {
  const stages = `apiVersion: edictum/v1
kind: Workflow
metadata: {name: w}
stages:
  - {id: read, tools: [Read]}
  - {id: write, tools: [Write], entry: [{condition: 'stage_complete("read")'}]}
`;
  const workflowRuntime = await WorkflowRuntime.loadString(stages);
  const guard = await opened.fromYamlString(RULES, { workflowRuntime });
  assert.equal((await guard.workflow()).active_stage, 'read');
  await assert.rejects(guard.run('Bash', { command: 'ls' }, () => 1), EdictumDenied);
  await guard.run('Read', {}, () => 1);
  const moved = await guard.workflow('set_stage', { stageId: 'write' });
  assert.equal(moved.active_stage, 'write');
  const other = await opened.fromYamlString(RULES, { workflowContent: stages });
  assert.equal((await other.workflow()).active_stage, 'read', 'its sessions are its own');
  await assert.rejects(WorkflowRuntime.loadString(stages.replace('tools: [Read]', 'tools: 5')), EdictumConfigError);
});

test('a closed guard does nothing any more', async () => {
  const guard = await opened.fromYamlString(RULES, { options: { approvals: 'host' } });
  await guard.begin('Deploy', { to: 'production' }, { callId: 'c' });
  const settled = guard.settled('c');
  // Waits for it before it is closed.
  await new Promise(setImmediate);
  await guard.close();
  await guard.close();
  await assert.rejects(settled, { code: 'closed' });
  await assert.rejects(guard.run('Bash', {}, () => 1), { code: 'closed' });
});
