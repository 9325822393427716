/**
 * The thread of a lane: an instance of the component with one part of the server's API in it. Its HTTP waits in this thread and holds
 * up no other. What it is asked is a method of that part; what it answers goes as it came.
 */

import { clocks, http, io } from '@bytecodealliance/preview2-shim';

import { answer } from '../remote.js';

/** @type {any} */
const glue = await import(new URL('../../component/guard.js', import.meta.url).href);

const IMPORTS = {
  'wasi:clocks/monotonic-clock': clocks.monotonicClock,
  'wasi:http/outgoing-handler': http.outgoingHandler,
  'wasi:http/types': http.types,
  'wasi:io/error': io.error,
  'wasi:io/poll': io.poll,
  'wasi:io/streams': io.streams,
};

/** @type {Record<string, (api: any, endpoint: any, options: string, memory?: string) => any>} */
const PARTS = {
  endpoint: (_api, endpoint) => endpoint,
  'ruleset-source': (api, endpoint, options, memory) => api.RulesetSource.open(endpoint, options, memory),
  'session-store': (api, endpoint, options) => api.SessionStore.open(endpoint, options),
  'approval-queue': (api, endpoint, options) => api.ApprovalQueue.open(endpoint, options),
  'decision-log': (api, endpoint, options) => api.DecisionLog.open(endpoint, options),
};

answer(({ modules, part, endpoint, apiKey, options, memory }) => {
  /** @type {any} */
  let made;
  const open = () => {
    const { api } = glue.instantiate((/** @type {string} */ path) => modules.get(path), IMPORTS);
    made = PARTS[part]?.(api, api.Endpoint.open(endpoint, apiKey), options, memory);
  };
  return {
    open: () => outcome(open),
    call: (/** @type {string} */ method, /** @type {any[]} */ values) => {
      if (!made) open();
      return outcome(() => made[method](...values));
    },
  };
});

/**
 * An `err` of the interface is an answer. Anything else that is thrown has ended the instance, and so the thread.
 *
 * @param {() => any} work
 */
function outcome(work) {
  try {
    return { ok: work() };
  } catch (error) {
    if (error instanceof Error && 'payload' in error) return { err: error.payload };
    setImmediate(() => process.exit(1));
    throw error;
  }
}
