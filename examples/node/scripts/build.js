// Makes what is not in the repository: `component/` (the two components, transpiled by jco) and `types/` (from JSDoc).
//
//   npm run build [-- FOLDER with edictum-decider.wasm and edictum-guard.wasm]

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { transpile } from '@bytecodealliance/jco';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const workspace = dirname(dirname(root));

/**
 * What the glue does for every call or instance, and need not. Where `WebAssembly.promising` is missing, it catches a TypeError for
 * each function that might return late; V8 reads the whole glue again to word each of them: 80 ms for every instance. And it
 * looks a variable of the environment up many times in every call.
 *
 * @type {[slow: string, quick: string][]}
 */
const SLOW = [
  ['WebAssembly.promising(', 'promising('],
  ['if (!globalThis?.process?.env?.JCO_DEBUG) { return; }', 'return;'],
];

/**
 * @param {string} source
 * @param {string} name
 */
async function component(source, name) {
  const { files } = await transpile(await readFile(source), {
    name,
    instantiation: { tag: 'sync' },
    noNodejsCompat: true,
    noTypescript: true,
    minify: false,
  });
  for (const [path, bytes] of Object.entries(files)) {
    const target = join(root, 'component', path);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, path === `${name}.js` ? quicker(bytes) : bytes);
  }
}

/** @param {Uint8Array} bytes */
function quicker(bytes) {
  let glue = new TextDecoder().decode(bytes);
  for (const [slow, quick] of SLOW) {
    if (!glue.includes(slow)) throw new Error(`the glue of jco has changed: no \`${slow}\``);
    glue = glue.replaceAll(slow, quick);
  }
  return `const promising = WebAssembly.promising ?? ((f) => f);\n${glue}`;
}

function types() {
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const ended = spawnSync(process.execPath, [tsc, '--project', root], { stdio: ['ignore', 2, 2] });
  if (ended.status !== 0) throw new Error('the types do not hold');
}

await rm(join(root, 'component'), { recursive: true, force: true });
await rm(join(root, 'types'), { recursive: true, force: true });
const built = process.argv[2] ?? join(workspace, 'target', 'component');
await component(join(built, 'edictum-decider.wasm'), 'decider');
await component(join(built, 'edictum-guard.wasm'), 'guard');
if (existsSync(join(workspace, 'LICENSE'))) await copyFile(join(workspace, 'LICENSE'), join(root, 'LICENSE'));
types();
