/** Logs: JSON lines on standard error. Never a key, a QR text or credentials. */

import pino from 'pino';

/** @param {string} level */
export function makeLogger(level) {
  return pino(
    { level, base: null, timestamp: false, formatters: { level: label => ({ level: label }) } },
    pino.destination({ dest: 2, sync: true }),
  );
}

/**
 * What Baileys gets for a logger. Baileys logs whole stanzas, keys and credentials as objects, so only the constant
 * text and the name and message of an error pass, at debug level.
 * @param {import('pino').Logger} log
 */
export function baileysLogger(log) {
  let on = true;
  const pass = (detail, text) => {
    if (!on) return;
    const error = detail instanceof Error ? detail : (detail?.err ?? detail?.error ?? detail?.e);
    const message = typeof detail === 'string' ? detail : text;
    log.debug(error instanceof Error ? { error: errorText(error) } : {}, `baileys: ${message ?? 'error'}`);
  };
  const drop = () => {};
  const logger = { level: 'warn', child: () => logger, trace: drop, debug: drop, info: drop, warn: pass, error: pass };
  /** What Baileys still does for a socket that ended fails as it must, and is nobody's concern. */
  logger.mute = () => {
    on = false;
  };
  return logger;
}

/** @param {unknown} error */
export function errorText(error) {
  return error instanceof Error ? `${error.name}: ${error.message}`.slice(0, 300) : 'unknown error';
}

/** libsignal prints whole sessions, with their private keys, to the console, and standard output is the wire. */
export function silenceConsole() {
  for (const method of ['log', 'info', 'warn', 'error', 'debug', 'trace', 'dir', 'table']) console[method] = () => {};
}
