// Makes `native/` a package for this machine: libedictum, and the addon over it. Where it is installed beside this package, or lies
// here, there is the engine `native`.
//
//   npm run build:native [-- FOLDER with libedictum and edictum.h]

import { spawnSync } from 'node:child_process';
import { copyFile, readFile, rename, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const given = process.argv[2] ?? join(dirname(dirname(root)), 'target', 'libedictum');
const library = process.platform === 'darwin' ? 'libedictum.dylib' : 'libedictum.so';
const { include_dir: headers } = createRequire(import.meta.url)('node-api-headers');

/**
 * A file that a process has open cannot be written over, but it can be replaced.
 *
 * @param {string} name
 * @param {(to: string) => unknown} make
 */
async function replace(name, make) {
  const fresh = join(root, 'native', `${name}.new`);
  await make(fresh);
  await rename(fresh, join(root, 'native', name));
}

await replace('edictum.node', (to) => {
  const warnings = ['-std=gnu11', '-Wall', '-Wextra', '-Werror'];
  const shared = process.platform === 'darwin' ? ['-bundle', '-undefined', 'dynamic_lookup'] : ['-shared'];
  const words = [...warnings, '-O2', '-fPIC', ...shared, `-I${headers}`, `-I${given}`, '-o', to, join(root, 'native', 'addon.c')];
  const ended = spawnSync(process.env.CC ?? 'cc', words, { stdio: ['ignore', 2, 2] });
  if (ended.status !== 0) throw new Error('the addon does not compile');
});
await replace(library, (to) => copyFile(join(given, library), to));

const { name, version, license } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
const machine = {
  name: `${name}-native-${process.platform}-${process.arch}`,
  version,
  description: 'libedictum for edictum-guard, on one kind of machine.',
  license,
  os: [process.platform],
  cpu: [process.arch],
  files: ['edictum.node', library],
};
await replace('package.json', (to) => writeFile(to, `${JSON.stringify(machine, null, 2)}\n`));
