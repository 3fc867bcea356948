/** A real Baileys client for tests, with its state in memory and every wait bounded. */
import { Curve, initAuthCreds, makeWASocket, WA_CERT_DETAILS } from 'baileys';
import { verifySignature } from '../src/keys.js';

// Baileys 7.0.0-rc14 takes any signature for good: libsignal returns its verdict and Baileys waits for it to throw.
Curve.verify = verifySignature;

/** Baileys logs through pino; tests look at what happens, not at what is logged. */
export const quiet = Object.fromEntries(['trace', 'debug', 'info', 'warn', 'error'].map(level => [level, () => {}]));
Object.assign(quiet, { level: 'silent', child: () => quiet });

const WAIT_MS = 10_000;

/** `promise`, or an error that says what did not come. */
export function within(promise, what, ms = WAIT_MS) {
  let timer;
  const late = new Promise(
    (_, reject) => (timer = setTimeout(() => reject(new Error(`no ${what} within ${ms} ms`)), ms)),
  );
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

export class Client {
  creds = initAuthCreds();
  store = new Map();
  #config;
  #updates = [];
  #waiting = new Set();

  constructor(simulator, config = {}) {
    this.simulator = simulator;
    this.#config = config;
    WA_CERT_DETAILS.PUBLIC_KEY = Buffer.from(simulator.rootKey, 'hex');
  }

  /** Opens a socket; what the previous one reported is forgotten. */
  open(config = {}) {
    this.#updates = [];
    const updates = this.#updates;
    const { simulator, creds, store } = this;
    const keys = {
      get: async (type, ids) =>
        Object.fromEntries(ids.filter(id => store.has(`${type}/${id}`)).map(id => [id, store.get(`${type}/${id}`)])),
      set: async data => {
        for (const [type, values] of Object.entries(data)) {
          for (const [id, value] of Object.entries(values))
            value === null ? store.delete(`${type}/${id}`) : store.set(`${type}/${id}`, value);
        }
      },
    };
    this.socket = makeWASocket({
      auth: { creds, keys },
      logger: quiet,
      waWebSocketUrl: simulator.url,
      ...this.#config,
      ...config,
    });
    this.socket.ev.on('creds.update', update => Object.assign(creds, update));
    this.socket.ev.on('connection.update', update => {
      updates.push(update);
      for (const check of this.#waiting) check();
    });
    return this;
  }

  /** The first update of this socket that `wanted` likes. */
  update(wanted, what, ms) {
    const updates = this.#updates;
    const found = new Promise(resolve => {
      const check = () => {
        const update = updates.find(wanted);
        if (!update) return;
        this.#waiting.delete(check);
        resolve(update);
      };
      this.#waiting.add(check);
      check();
    });
    return within(found, what, ms);
  }

  /** QR text number `number`, from 1. */
  async qr(number = 1) {
    await this.update(() => this.qrs.length >= number, `QR code ${number}`);
    return this.qrs[number - 1];
  }

  get qrs() {
    return this.#updates.filter(update => update.qr).map(update => update.qr);
  }

  opened() {
    return this.update(update => update.connection === 'open', 'open connection');
  }

  get isOpen() {
    return this.#updates.some(update => update.connection === 'open');
  }

  /** The close code and message of this socket. */
  async closed(ms) {
    const { lastDisconnect } = await this.update(update => update.connection === 'close', 'close', ms);
    return { code: lastDisconnect.error?.output?.statusCode, message: lastDisconnect.error?.message };
  }

  /** QR, scan, 515: linked, and not logged in yet. @returns the device as the simulator describes it */
  async link(options) {
    const device = await this.simulator.scan(await this.open().qr(), options);
    await this.closed();
    return device;
  }

  /** The same, and logged in. */
  async connect(options) {
    const device = await this.link(options);
    await this.open().opened();
    return device;
  }
}

/** The next event of that type, at most a few seconds away. */
export async function event(simulator, type, query = {}) {
  const { events } = await simulator.events({ type, waitMs: WAIT_MS, ...query });
  if (events.length === 0) throw new Error(`no event ${type} within ${WAIT_MS} ms`);
  return events[0];
}

/** What happened, in order: types only. */
export async function history(simulator, query = {}) {
  return (await simulator.events(query)).events.map(({ type }) => type);
}
