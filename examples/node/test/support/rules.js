/** Rulesets for tests. */

export const HEAD = `apiVersion: edictum/v1
kind: Ruleset
metadata: {name: test}
defaults: {mode: enforce}
`;

export const RULES = `${HEAD}rules:
  - {id: no-force, type: pre, tool: Bash, when: {args.command: {contains: push --force}}, then: {action: block, message: 'Not with force: {args.command}'}}
  - {id: ask-first, type: pre, tool: Deploy, when: {args.to: {equals: production}}, then: {action: ask, message: 'Deploy?', timeout: 60}}
  - {id: no-keys, type: post, tool: '*', when: {output.text: {matches: 'sk-[a-z0-9]+'}}, then: {action: redact, message: A key.}}
`;

/**
 * So many rules, on a hundred tools.
 *
 * @param {number} count
 * @param {string} [word]
 */
export function manyRules(count, word = 'bad') {
  const rule = (/** @type {number} */ at) =>
    `  - {id: r${at}, type: pre, tool: tool${at % 100}, when: {args.command: {contains: '${word}${at}'}}, then: {action: block, message: 'no {args.command}'}}\n`;
  return `${HEAD}rules:\n${Array.from({ length: count }, (_, at) => rule(at)).join('')}`;
}
