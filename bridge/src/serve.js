/** Serves Python's requests, from `hello` until standard input closes. */

import { createRequire } from 'node:module';

import { errorText } from './log.js';
import { currentSocket, WhatsAppSocket } from './socket.js';
import { Wire } from './wire.js';

/** How long sockets get to close once Python is gone; longer than a close frame may take. */
const EXIT_MS = 2_000;

const PROTOCOL = 1;

/**
 * @param {import('node:stream').Readable} input
 * @param {import('node:stream').Writable} output
 * @param {ReturnType<import('./config.js').readConfig>} config
 * @param {import('pino').Logger} log
 */
export function serve(input, output, config, log) {
  /** @type {Map<number, WhatsAppSocket>} */
  const sockets = new Map();
  const handlers = {
    open({ session, epoch, socket, creds }) {
      checkAddress({ session, epoch, socket });
      if (sockets.has(socket)) throw new Error('socket number used twice');
      if (creds !== null && typeof creds !== 'string') throw new Error('creds must be text or null');
      const onGone = () => sockets.delete(socket);
      const opened = new WhatsAppSocket({ session, epoch, socket }, { config, wire, log, onGone });
      sockets.set(socket, opened);
      setImmediate(() => opened.start(creds, config)); // the answer goes out first
    },
    close: async ({ socket }) => sockets.get(socket)?.close(),
    logout: async ({ socket }) => ({ sent: (await sockets.get(socket)?.logout()) ?? false }),
    async 'pairing-code'({ socket, phone }) {
      if (!sockets.has(socket)) throw new Error('socket is gone');
      return { code: await sockets.get(socket).pairingCode(String(phone)) };
    },
    ping: () => ({ sockets: sockets.size, rss: process.memoryUsage.rss() }),
  };
  const onPressure = pressed => {
    for (const socket of sockets.values()) socket.pause(pressed);
  };
  const wire = new Wire(input, output, { handlers, onPressure, log });

  surviveErrors(log);
  output.on('error', () => process.exit(1)); // nobody reads any more
  input.on('error', () => process.exit(1));
  input.on('end', async () => {
    setTimeout(() => process.exit(0), EXIT_MS);
    await Promise.allSettled([...sockets.values()].map(socket => socket.close()));
    process.exit(0);
  });
  const { version } = createRequire(import.meta.url)('baileys/package.json');
  wire.event('hello', { protocol: PROTOCOL, baileys: version, node: process.version, pid: process.pid });
}

function checkAddress({ session, epoch, socket }) {
  if (typeof session !== 'string' || !Number.isSafeInteger(epoch) || !Number.isSafeInteger(socket)) {
    throw new Error('session, epoch and socket must be text and whole numbers');
  }
}

/**
 * One socket's bug ends that socket and no other. Rejections are only logged: Baileys leaves many behind when a
 * connection drops, and a socket that hangs for one is found by Python's deadlines.
 */
function surviveErrors(log) {
  process.on('unhandledRejection', reason => log.debug({ error: errorText(reason) }, 'unhandled rejection'));
  process.on('uncaughtException', error => {
    const socket = currentSocket();
    log.error({ error: errorText(error), attributed: Boolean(socket) }, 'uncaught exception');
    socket?.fail(`internal error: ${errorText(error)}`);
  });
}
