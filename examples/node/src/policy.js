/**
 * A policy as the host keeps it: the texts it is made of, what its sandbox boundaries were when it was loaded, and what the
 * engine says about it. Guards with equal texts share one.
 */

import { createHash } from 'node:crypto';

/** @typedef {import('./decider.js').Source} Source */
/** @typedef {{paths: string[], links: import('./links.js').Link[]}} Batch */

const DAY = 86_400_000;

export class Policy {
  /** Guards and steps that use it. */
  users = 0;

  /**
   * @param {Source} source
   * @param {Batch[]} links what was answered while it was compiled
   * @param {{revision: string, summary: string}} prepared
   */
  constructor(source, links, { revision, summary }) {
    this.source = source;
    this.links = links;
    this.revision = revision;
    /** As the engine gave it. */
    this.summary = summary;
    /** Different for equal texts whose boundaries are different. */
    this.id = `${keyOf(source)}:${createHash('sha256').update(JSON.stringify(links)).digest('hex')}`;
    const { needs, env, options, tools } = JSON.parse(summary);
    /** Questions that it may ask. @type {Record<string, boolean | string[]>} */
    this.needs = needs;
    /** Names of the variables that its `env.*` selectors name. @type {string[]} */
    this.env = env;
    /** Classes of tools. */
    this.tools = tools;
    /** The host's own switches among the options. */
    this.settings = {
      sessionTtl: options.session_ttl == null ? 7 * DAY : options.session_ttl * 1_000,
      openCallTtl: options.open_call_ttl == null ? 3_600_000 : options.open_call_ttl * 1_000,
      decisionLogRequired: options.decision_log_required === true,
      /** Where commands run. @type {string | undefined} */
      cwd: options.cwd ?? undefined,
    };
  }
}

/**
 * Equal for equal texts.
 *
 * @param {Source} source
 */
export function keyOf({ rulesets, workflow, options }) {
  const texts = [rulesets.map(({ name, text }) => [name, text]), workflow ? [workflow.name, workflow.text] : null, options];
  return createHash('sha256').update(JSON.stringify(texts)).digest('hex');
}
