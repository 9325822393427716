/** The component of world `guard`, compiled once for the process. Threads are given its modules and the rest of it. */

import { readFile } from 'node:fs/promises';

const FOLDER = new URL('../../component/', import.meta.url);

/** @type {Promise<Map<string, WebAssembly.Module>> | undefined} */
let compiled;

export function guardModules() {
  compiled ??= compile();
  return compiled;
}

async function compile() {
  /** @type {Map<string, WebAssembly.Module>} */
  const modules = new Map();
  for (const path of ['guard.core.wasm', 'guard.core2.wasm', 'guard.core3.wasm']) {
    modules.set(path, await WebAssembly.compile(await readFile(new URL(path, FOLDER))));
  }
  return modules;
}
