/** One port for both: the WebSocket that clients connect to, and the control API. */
import { readFileSync } from 'node:fs';
import { createServer, STATUS_CODES } from 'node:http';
import { WebSocketServer } from 'ws';
import { makeControl } from './control.js';
import { isLoopback } from './http.js';
import { Simulator } from './simulator.js';

const PATH = '/ws/chat';
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;
const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));

/**
 * Starts a simulator.
 * @param {{ host?: string, port?: number, seed?: string, stateFile?: string }} options
 *   `host`: a loopback address (127.0.0.1); `port`: 0, the default, takes a free one; `seed`: makes every key the same
 *   at each start; `stateFile`: where phones and linked devices outlive the process
 * @returns {Promise<RunningSimulator>}
 * @throws {Error} when the address is not loopback or is taken, or the state file is unusable
 */
export async function startSimulator({ host = '127.0.0.1', port = 0, seed, stateFile } = {}) {
  if (!isLoopback(host))
    throw new Error(
      `The simulator listens on loopback only (127.0.0.1, ::1), not on ${host}: whoever reaches it commands it.`,
    );
  const simulator = new Simulator({ seed, stateFile });
  const settings = { version, url: '' };
  const http = createServer(makeControl(simulator, settings));
  const sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: MAX_MESSAGE_BYTES,
    clientTracking: false,
  });
  http.on('upgrade', (request, socket, head) => {
    const refused = refusalOf(simulator, request);
    if (refused === null) return sockets.handleUpgrade(request, socket, head, ws => simulator.accept(socket, ws));
    refuse(socket, refused);
    simulator.journal.record('upgrade_refused', { detail: refused });
  });
  await listen(http, host, port);
  return new RunningSimulator(simulator, http, settings, host);
}

/** A simulator that listens. Its methods do what the control API does; see docs/simulator.md. */
export class RunningSimulator {
  #simulator;
  #http;

  constructor(simulator, http, settings, host) {
    this.#simulator = simulator;
    this.#http = http;
    this.port = http.address().port;
    const authority = `${host.includes(':') && !host.startsWith('[') ? `[${host}]` : host}:${this.port}`;
    /** Where clients connect. */
    this.url = settings.url = `ws://${authority}${PATH}`;
    /** Where the control API is. */
    this.controlUrl = `http://${authority}`;
    /** The trust root, 64 hex digits. */
    this.rootKey = simulator.rootKey;
  }

  /** The two settings that point a client here. */
  get settings() {
    return { WHATSAPP_URL: this.url, WHATSAPP_ROOT_KEY: this.rootKey };
  }

  phones() {
    return [...this.#simulator.phones].map(phone => phone.describe());
  }

  /** @param {{ phone?: string, name?: string, platform?: string }} fields */
  addPhone(fields = {}) {
    return this.#simulator.phones.add(fields).describe();
  }

  deletePhone(phone) {
    this.#simulator.deletePhone(phone);
  }

  /**
   * Scans a QR text; resolves with the new device once the client agreed.
   * @param {{ phone?: string, then?: object, timeoutMs?: number }} options
   */
  async scan(qr, { phone = 'default', then, timeoutMs } = {}) {
    return (await this.#simulator.scan(phone, { qr, then, timeoutMs })).describe();
  }

  /**
   * Types in the code that a client shows for that phone.
   * @param {{ phone?: string, then?: object, timeoutMs?: number }} options
   */
  async enterCode(code, { phone = 'default', then, timeoutMs } = {}) {
    return (await this.#simulator.enterCode(phone, { code, then, timeoutMs })).describe();
  }

  /**
   * Adds rules to devices of a phone.
   * @param {object} then
   * @param {{ phone?: string, device?: string | number }} options
   */
  addRules(then, { phone = 'default', device } = {}) {
    return this.#simulator.addRules(phone, { device, then });
  }

  /**
   * @param {string} verb one of `VERBS` in rules.js
   * @param {{ phone?: string, device?: string | number, code?: number }} options
   */
  command(verb, { phone = 'default', device, code } = {}) {
    return this.#simulator.command(phone, { verb, device, code });
  }

  sockets() {
    return [...this.#simulator.connections.values()].map(connection => connection.describe());
  }

  /**
   * @param {'cut'|'silence'|'resume'|'close'} verb
   * @param {{ socket?: number, code?: number }} options no `socket`: all
   */
  disturb(verb, { socket = null, code } = {}) {
    return this.#simulator.disturb(socket, { verb, code });
  }

  /** Reads settings, or sets those in `changes`. @param {{ phone?: string }} options no `phone`: the server's */
  behaviour(changes, { phone } = {}) {
    const behaviour = phone === undefined ? this.#simulator.behaviour : this.#simulator.phones.get(phone).behaviour;
    if (changes !== undefined) behaviour.patch(changes);
    return behaviour.describe();
  }

  counters() {
    return this.#simulator.counters();
  }

  /**
   * @param {{ after?: number, type?: string, jid?: string, phone?: string, socket?: number, limit?: number,
   *   waitMs?: number }} query
   */
  events(query = {}) {
    return this.#simulator.journal.wait(query);
  }

  reset() {
    this.#simulator.reset();
  }

  /** Ends every connection and stops listening. */
  async close() {
    const closed = new Promise(resolve => this.#http.close(resolve));
    this.#simulator.close();
    this.#http.closeAllConnections();
    await closed;
  }
}

/** What to refuse an upgrade with: an HTTP status, `refuse` to hang up, or null to let it in. */
function refusalOf(simulator, request) {
  if (request.url.split('?')[0] !== PATH) return 404;
  const handshake = simulator.behaviour.get('handshake');
  return handshake === 'accept' || handshake === 'silent' ? null : handshake;
}

function refuse(socket, how) {
  socket.on('error', () => socket.destroy());
  if (how === 'refuse') return socket.destroy();
  socket.once('finish', () => socket.destroy());
  socket.end(`HTTP/1.1 ${how} ${STATUS_CODES[how] ?? 'Refused'}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}

function listen(http, host, port) {
  return new Promise((resolve, reject) => {
    http.once('error', reject);
    http.listen(port, host.replace(/^\[|\]$/g, ''), () => {
      http.off('error', reject);
      resolve();
    });
  });
}
