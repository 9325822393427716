import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { folder } from './support/folder.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const execute = promisify(execFile);

/** The first block of this language in the README. */
async function block(/** @type {string} */ language) {
  const readme = await readFile(join(ROOT, 'README.md'), 'utf8');
  const found = new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'ms').exec(readme);
  assert.ok(found?.[1], `the README has no ${language}`);
  return found[1];
}

test('the package installs into an empty project, and its quick start runs', async (t) => {
  const at = await folder(t);
  // No cargo here.
  const env = { PATH: `${dirname(process.execPath)}:/usr/bin:/bin`, HOME: process.env.HOME, npm_config_cache: process.env.npm_config_cache };
  const npm = async (/** @type {string[]} */ ...words) => (await execute('npm', words, { cwd: at, env })).stdout;
  // What was built before the tests is what is packed.
  const [packed] = JSON.parse(await npm('pack', ROOT, '--ignore-scripts', '--json', '--pack-destination', at));
  const files = packed.files.map((/** @type {{path: string}} */ { path }) => path);
  for (const needed of ['src/index.js', 'types/index.d.ts', 'component/decider.core.wasm', 'component/guard.js', 'README.md', 'LICENSE', 'driver.js']) {
    assert.ok(files.includes(needed), needed);
  }
  assert.ok(files.every((/** @type {string} */ path) => !/^(test|scripts|node_modules)\//.test(path)));

  await writeFile(join(at, 'package.json'), JSON.stringify({ name: 'empty', private: true, type: 'module' }));
  await npm('install', join(at, packed.filename), '--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error');
  await writeFile(join(at, 'quick-start.js'), await block('js'));
  const { stdout } = await execute(process.execPath, ['quick-start.js'], { cwd: at, env });
  assert.equal(stdout, await block('text'));

  // Its types are enough for a program of TypeScript's.
  await writeFile(join(at, 'typed.ts'), TYPED);
  const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
  const options = { noEmit: true, strict: true, module: 'nodenext', target: 'es2022', lib: ['es2022', 'dom', 'esnext.disposable'], types: [], skipLibCheck: true };
  await writeFile(join(at, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, include: ['typed.ts'] }));
  await execute(process.execPath, [tsc, '--project', at], { cwd: at, env }).catch((error) => assert.fail(error.stdout));
});

const TYPED = `
import { Edictum, EdictumDenied, HookDecision, type EdictumOptions } from 'edictum-guard';

const options: EdictumOptions = {
  mode: 'enforce',
  principal: { role: 'dev' },
  customOperators: { is_odd: (value: number) => value % 2 === 1 },
  hooks: [{ name: 'gate', before: (call) => (call.tool === 'x' ? HookDecision.deny('no') : true) }],
  approvalBackend: async (request) => request.toolName === 'Bash',
  storageBackend: { path: 'state' },
};
const guard = await Edictum.fromYaml(['a.yaml', 'b.yaml'], options);
const length: number = await guard.run('read', { path: 'x' }, async ({ path }: { path: string }) => path.length);
const decision: 'allow' | 'warn' | 'block' = (await guard.evaluate('read', '{"n":1.0}')).decision;
const far = await Edictum.fromServer({ url: 'https://x', apiKey: 'k', bundleName: 'b', onError: ({ code }) => console.log(code) });
console.log(length, decision, (await far.health()).stream, EdictumDenied);
// @ts-expect-error there is no such mode
await Edictum.fromYaml('a.yaml', { mode: 'maybe' });
export {};
`;
