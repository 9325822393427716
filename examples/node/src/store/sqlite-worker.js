/** The thread of a `SqliteStore`: the file, and nothing else. */

import { answer } from '../remote.js';
import { SqliteFile } from './sqlite-file.js';

const METHODS = [
  'perform', 'open', 'find', 'claim', 'update', 'release', 'close', 'list', 'due', 'nextDeadline', 'memory', 'remember',
  'expire', 'end',
];

answer(({ folder, durable }) => {
  /** @type {any} */
  let file;
  const opened = () => (file ??= new SqliteFile(folder, durable));
  const methods = METHODS.map((method) => [method, (/** @type {any[]} */ ...values) => opened()[method](...values)]);
  return { ...Object.fromEntries(methods), ready: () => void opened() };
});
