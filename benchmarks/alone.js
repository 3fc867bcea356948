/**
 * Baileys alone: a program that has nothing but the library, and keeps its state in memory. What Relink is measured by.
 *
 * Standard input: lines of JSON, `{"op": "start" | "close", "link": NAME}`. Standard output: `{"event": "hello", "at"}`,
 * then `{"event": "qr", "link", "text", "took_ms", "at"}` and `{"event": "open", "link", "at"}`; `at` is the machine's
 * monotonic clock in milliseconds. Environment: WHATSAPP_URL, WHATSAPP_ROOT_KEY; CURVE=bridge for the bridge's Curve.
 */

import { createInterface } from 'node:readline';

import makeWASocket, { Curve, DisconnectReason, initAuthCreds, WA_CERT_DETAILS } from 'baileys';

const now = () => Number(process.hrtime.bigint()) / 1e6;
const say = message => process.stdout.write(`${JSON.stringify(message)}\n`);
const silent = { level: 'silent', child: () => silent };
for (const level of ['trace', 'debug', 'info', 'warn', 'error']) silent[level] = () => {};

/** @type {Map<string, ReturnType<typeof makeWASocket>>} */
const sockets = new Map();

function memoryState() {
  const stored = new Map();
  const keys = {
    get: async (type, ids) => Object.fromEntries(ids.map(id => [id, stored.get(`${type}-${id}`)])),
    set: async data => {
      for (const [type, entries] of Object.entries(data)) {
        for (const [id, value] of Object.entries(entries)) {
          if (value) stored.set(`${type}-${id}`, value);
          else stored.delete(`${type}-${id}`);
        }
      }
    },
  };
  return { creds: initAuthCreds(), keys };
}

function start(link) {
  const began = now();
  connect(link, memoryState(), began);
}

function connect(link, auth, began) {
  const sock = makeWASocket({
    auth,
    logger: silent,
    waWebSocketUrl: process.env.WHATSAPP_URL,
    // As the bridge has them, so that both do the same work.
    browser: ['Alone', 'Chrome', '1.0'],
    markOnlineOnConnect: false,
    syncFullHistory: false,
    fireInitQueries: false,
  });
  sockets.set(link, sock);
  sock.ev.on('connection.update', ({ connection, qr, lastDisconnect }) => {
    if (qr) say({ event: 'qr', link, text: qr, took_ms: now() - began, at: now() });
    if (connection === 'open') say({ event: 'open', link, at: now() });
    const again = lastDisconnect?.error?.output?.statusCode === DisconnectReason.restartRequired;
    if (connection === 'close' && again) connect(link, auth, began);
  });
}

function close(link) {
  void sockets.get(link)?.end(undefined);
  sockets.delete(link);
}

process.on('unhandledRejection', () => {}); // Baileys leaves some behind when a socket ends
process.stdout.on('error', () => process.exit(1));
WA_CERT_DETAILS.PUBLIC_KEY = Buffer.from(process.env.WHATSAPP_ROOT_KEY, 'hex');
if (process.env.CURVE === 'bridge') {
  const { hardenCurve, loadSodium } = await import('../bridge/src/curve.js');
  hardenCurve(Curve, await loadSodium());
}
createInterface({ input: process.stdin })
  .on('line', line => {
    const { op, link } = JSON.parse(line);
    ({ start, close })[op](link);
  })
  .on('close', () => process.exit(0));
say({ event: 'hello', at: now() });
