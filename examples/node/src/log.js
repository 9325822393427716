/** What people should hear of, and no caller can be told: through `process.emitWarning`, unless somebody listens. */

/** @typedef {(level: 'error' | 'warning', message: string) => void} Logger */

/** @type {Logger} */
let logger = (_level, message) => process.emitWarning(message, 'EdictumWarning');

/**
 * Where messages go. They hold no arguments and no outputs.
 *
 * @param {Logger} to
 */
export function setLogger(to) {
  logger = to;
}

/**
 * @param {'error' | 'warning'} level
 * @param {string} message
 */
export function log(level, message) {
  try {
    logger(level, message);
  } catch {
    // Who listens badly hears nothing.
  }
}
