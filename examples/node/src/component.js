/**
 * The decider component: its core modules compiled once for the process, and instances of it. It imports nothing.
 */

import { readFile } from 'node:fs/promises';

const PAGE = 65_536;

/** Bytes of memory that an instance may have. */
export const MAX_MEMORY = 256 << 20;

/**
 * @typedef {object} Component
 * @property {(path: string) => WebAssembly.Module} module
 * @property {(module: (path: string) => WebAssembly.Module, imports: object, core?: Function) => any} instantiate
 */

/** @type {Map<number, Promise<Component>>} */
const components = new Map();

/**
 * Compiles the component, once.
 *
 * @param {number} [maxMemory]
 */
export function component(maxMemory = MAX_MEMORY) {
  let compiled = components.get(maxMemory);
  if (!compiled) {
    compiled = compile(maxMemory);
    components.set(maxMemory, compiled);
  }
  return compiled;
}

/**
 * @param {number} maxMemory
 * @returns {Promise<Component>}
 */
async function compile(maxMemory) {
  const folder = new URL('../component/', import.meta.url);
  const { instantiate } = await import(new URL('decider.js', folder).href);
  /** @type {Map<string, WebAssembly.Module>} */
  const modules = new Map();
  for (const path of ['decider.core.wasm', 'decider.core2.wasm', 'decider.core3.wasm']) {
    const bytes = bounded(await readFile(new URL(path, folder)), Math.floor(maxMemory / PAGE));
    modules.set(path, await WebAssembly.compile(bytes));
  }
  const module = (/** @type {string} */ path) => {
    const found = modules.get(path);
    if (!found) throw new Error(`the component has no module ${path}`);
    return found;
  };
  return { module, instantiate };
}

/**
 * A new instance: its exports, and the bytes of memory that it has.
 *
 * @param {Component} component
 */
export function instance(component) {
  /** @type {WebAssembly.Memory | undefined} */
  let memory;
  const core = (/** @type {WebAssembly.Module} */ module, /** @type {any} */ imports) => {
    const made = new WebAssembly.Instance(module, imports);
    if (made.exports.memory instanceof WebAssembly.Memory) memory = made.exports.memory;
    return made;
  };
  const root = component.instantiate(component.module, {}, core);
  return { root, memory: () => memory?.buffer.byteLength ?? 0 };
}

/**
 * The module with a bound on the memory that it defines: `memory.grow` beyond it fails. What has no memory stays as it is.
 *
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @param {number} pages
 */
export function bounded(bytes, pages) {
  const HEADER = 8;
  const MEMORY_SECTION = 5;
  for (let at = HEADER; at < bytes.length; ) {
    const id = bytes[at];
    const [size, from] = number(bytes, at + 1);
    if (id === MEMORY_SECTION) {
      const [count, flagsAt] = number(bytes, from);
      const [initial] = number(bytes, flagsAt + 1);
      if (count !== 1 || (bytes[flagsAt] ?? 0) > 1) throw new Error('the component has a memory of an unknown kind');
      const section = [...leb(1), 1, ...leb(initial), ...leb(Math.max(initial, pages))];
      return Buffer.concat([bytes.subarray(0, at), Buffer.from([id, ...leb(section.length), ...section]), bytes.subarray(from + size)]);
    }
    at = from + size;
  }
  return bytes;
}

/**
 * An unsigned LEB128 number, and the place behind it.
 *
 * @param {Uint8Array} bytes
 * @param {number} at
 * @returns {[value: number, next: number]}
 */
function number(bytes, at) {
  let value = 0;
  for (let shift = 1; ; shift *= 128) {
    const byte = bytes[at] ?? 0;
    at += 1;
    value += (byte & 0x7f) * shift;
    if (byte < 0x80) return [value, at];
  }
}

/** @param {number} value */
function leb(value) {
  const bytes = [];
  do {
    bytes.push((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
    value >>>= 7;
  } while (value > 0);
  return bytes;
}
