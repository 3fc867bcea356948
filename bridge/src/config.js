/** The bridge's settings: environment variables, as docs/wire.md lists them. */

const LEVELS = { DEBUG: 'debug', INFO: 'info', WARNING: 'warn', ERROR: 'error' };

/**
 * @param {NodeJS.ProcessEnv} env
 * @returns {{url?: string, rootKey?: Buffer, version?: number[], deviceName: string, qrLifetimeMs?: number,
 *   keepAliveMs: number, logLevel: string}}
 * @throws {Error} naming the variable that cannot be used
 */
export function readConfig(env) {
  const url = env.WHATSAPP_URL || undefined;
  const rootKey = env.WHATSAPP_ROOT_KEY || undefined;
  if (url && !/^wss?:$/.test(parseUrl(url).protocol)) throw new Error('WHATSAPP_URL must begin with ws:// or wss://');
  if (rootKey && !/^[0-9a-f]{64}$/i.test(rootKey)) throw new Error('WHATSAPP_ROOT_KEY must be 64 hex digits');
  // A foreign trust root on a real connection would let anybody in the middle read it.
  if (rootKey && !(url && isLoopback(parseUrl(url).hostname))) {
    throw new Error('WHATSAPP_ROOT_KEY is accepted only with a loopback WHATSAPP_URL');
  }
  const version = env.WHATSAPP_VERSION || undefined;
  if (version && !/^\d+\.\d+\.\d+$/.test(version)) throw new Error('WHATSAPP_VERSION must look like 2.3000.1');
  return {
    url,
    rootKey: rootKey && Buffer.from(rootKey, 'hex'),
    version: version?.split('.').map(Number),
    deviceName: env.DEVICE_NAME || 'Relink',
    qrLifetimeMs: milliseconds(env, 'QR_LIFETIME_MS'),
    keepAliveMs: milliseconds(env, 'KEEP_ALIVE_MS') ?? 20_000,
    logLevel: LEVELS[env.LOG_LEVEL?.toUpperCase()] ?? 'info',
  };
}

function milliseconds(env, name) {
  if (!env[name]) return undefined;
  const value = Number(env[name]);
  if (!Number.isInteger(value) || value <= 0) throw new Error(`${name} must be a positive whole number`);
  return value;
}

function parseUrl(text) {
  try {
    return new URL(text);
  } catch {
    throw new Error('WHATSAPP_URL is not a URL');
  }
}

/** @param {string} host as `URL.hostname` gives it, IPv6 in brackets */
export function isLoopback(host) {
  return host === 'localhost' || host.endsWith('.localhost') || /^127(\.\d+){3}$/.test(host) || host === '[::1]';
}
