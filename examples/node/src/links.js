/** What a path is, links not followed. The engine walks paths itself and asks for one step at a time. */

import { lstat, readlink } from 'node:fs/promises';

/** @typedef {'missing' | 'plain' | 'unreadable' | {target: string}} Link */

/**
 * Looks every path up.
 *
 * @param {string[]} paths
 * @returns {Promise<Link[]>}
 */
export function readLinks(paths) {
  return Promise.all(paths.map(look));
}

/**
 * @param {string} path
 * @returns {Promise<Link>}
 */
async function look(path) {
  try {
    const found = await lstat(path);
    if (!found.isSymbolicLink()) return 'plain';
    const target = await readlink(path, { encoding: 'buffer' });
    return { target: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(target) };
  } catch (error) {
    const code = /** @type {{code?: string}} */ (error).code;
    // Below a file there is nothing.
    return code === 'ENOENT' || code === 'ENOTDIR' ? 'missing' : 'unreadable';
  }
}
