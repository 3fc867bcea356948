/** One Baileys socket: what it learns it reports, what it needs it asks for. It is never reopened. */

import { AsyncLocalStorage } from 'node:async_hooks';

import makeWASocket, { getBinaryNodeChild, getBinaryNodeChildren } from 'baileys';

import { Auth } from './auth.js';
import { baileysLogger, errorText } from './log.js';
import { StaleEpoch } from './wire.js';

/** How long a peer may take to answer the WebSocket close frame; `ws` itself would wait for 30 s. */
const CLOSE_FRAME_MS = 1_500;

/** Lifetimes of WhatsApp's codes, which Baileys counts by (Socket/socket.js). */
const FIRST_QR_MS = 60_000;
const NEXT_QR_MS = 20_000;

/** What `ws` says when a connection ended without a close frame from the other side (RFC 6455, 7.1.5). */
const NO_CLOSE_FRAME = 1006;

const BAD_SESSION = 500;

/**
 * Tells which socket an uncaught error belongs to. Holds a token that is emptied when the socket is gone: timers keep
 * the token, and Baileys leaves some that run for days.
 * @type {AsyncLocalStorage<{socket: WhatsAppSocket | null}>}
 */
const current = new AsyncLocalStorage();

/** @returns {WhatsAppSocket | null | undefined} the socket whose work runs now */
export const currentSocket = () => current.getStore()?.socket;

export class WhatsAppSocket {
  #wire;
  #log;
  #address;
  #onGone;
  #auth;
  #sock;
  #browser;
  #baileysLog;
  #qr = { limit: 0, number: 0 };
  #loggedIn = false;
  #closeAnswered = false;
  #token = { socket: this };
  /** Nothing is reported any more. */
  #quiet = false;
  #isGone = false;
  #gone = withResolvers();
  #offered = withResolvers();

  /**
   * @param {{session: string, epoch: number, socket: number}} address
   * @param {{config: object, wire: import('./wire.js').Wire, log: import('pino').Logger, onGone: () => void}} context
   */
  constructor(address, { config, wire, log, onGone }) {
    this.#address = address;
    this.#wire = wire;
    this.#log = log.child(address);
    this.#onGone = onGone;
    this.#baileysLog = baileysLogger(this.#log);
    this.#browser = [config.deviceName, 'Chrome', '1.0'];
    this.#offered.promise.catch(() => {}); // nobody may be waiting for a pairing code
  }

  /** Begins to connect. How that goes is reported, also when it fails at once. */
  start(credsText, config) {
    if (this.#isGone) return; // closed before it began
    current.run(this.#token, () => {
      try {
        this.#auth = this.#makeAuth(credsText);
      } catch {
        this.#finish({ code: BAD_SESSION, message: 'stored credentials cannot be read' });
        return;
      }
      try {
        this.#sock = makeWASocket(this.#options(config));
        this.#listen(config);
      } catch (error) {
        this.#finish({ code: null, message: errorText(error) });
      }
    });
  }

  /** Ends without unlinking; resolves when the socket is gone. Nothing is reported any more. */
  async close() {
    this.#silence();
    await this.#end();
  }

  /**
   * Unlinks, then ends. @returns {Promise<boolean>} whether WhatsApp has taken the request in: it was sent (only an open
   * socket can) and WhatsApp answered the close frame that followed it
   */
  async logout() {
    if (!this.#loggedIn || !this.#sock.ws.isOpen) {
      await this.close();
      return false;
    }
    this.#silence();
    try {
      await this.#sock.logout();
    } catch (error) {
      this.#log.debug({ error: errorText(error) }, 'logout not sent');
      await this.#end();
      return false;
    }
    await this.#gone.promise;
    return this.#closeAnswered;
  }

  /** @param {string} phone digits @returns {Promise<string>} the code, once WhatsApp is ready to link */
  async pairingCode(phone) {
    if (!/^\d{5,20}$/.test(phone)) throw new Error('phone must be digits, with the country code');
    if (this.#auth.linked) throw new Error('already linked');
    await this.#offered.promise;
    // WhatsApp refuses pairing codes for names of operating systems it does not know.
    this.#browser[0] = 'Linux';
    return this.#sock.requestPairingCode(phone);
  }

  /** Ends because of an error of ours or Baileys', and reports it. */
  fail(message) {
    if (this.#isGone || this.#quiet) return;
    this.#finish({ code: null, message });
    void this.#end();
  }

  /** Stops or goes on reading from WhatsApp. */
  pause(paused) {
    const raw = this.#sock?.ws.socket;
    if (raw?.readyState === raw?.constructor.OPEN) paused ? raw.pause() : raw.resume();
  }

  #makeAuth(credsText) {
    const ask = async (op, fields) => {
      try {
        return await this.#wire.ask(op, this.#address, fields);
      } catch (error) {
        if (!(error instanceof StaleEpoch)) throw error;
        void this.close();
        return {};
      }
    };
    return new Auth(credsText, {
      get: async fields => (await ask('keys-get', { fields })).values,
      set: values => ask('keys-set', { values }),
      onCredsLost: error => this.fail(`credentials could not be stored: ${error.message}`),
    });
  }

  #options(config) {
    return {
      auth: this.#auth.state,
      browser: this.#browser,
      logger: this.#baileysLog,
      keepAliveIntervalMs: config.keepAliveMs,
      // Relink holds sessions, not messages: no presence, no history, none of the queries a chat window needs.
      markOnlineOnConnect: false,
      syncFullHistory: false,
      fireInitQueries: false,
      ...(config.url && { waWebSocketUrl: config.url }),
      ...(config.version && { version: config.version }),
      ...(config.qrLifetimeMs && { qrTimeout: config.qrLifetimeMs }),
    };
  }

  #listen(config) {
    const { ev, ws } = this.#sock;
    this.#boundClose(ws);
    ws.on('CB:iq,type:set,pair-device', stanza => {
      this.#qr = { number: 0, limit: getBinaryNodeChildren(getBinaryNodeChild(stanza, 'pair-device'), 'ref').length };
    });
    ws.on('CB:success', () => {
      this.#loggedIn = true;
    });
    // Baileys listens to this event and does nothing, which keeps `ws` from giving up: the socket would hang for ever.
    ws.on('unexpected-response', (request, response) => {
      request.destroy();
      this.fail(`WebSocket Error (Unexpected server response: ${response.statusCode})`);
    });
    for (const type of ['passkey_prologue_request', 'crsc_continuation']) {
      ws.on(`CB:notification,type:${type}`, () => this.#report('passkey'));
    }
    // Registered after Baileys' own listener, which puts the update into `creds`.
    ev.on('creds.update', () => this.#auth.touch());
    ev.on('connection.update', update => this.#onUpdate(update, config));
  }

  #onUpdate({ connection, qr, isNewLogin, lastDisconnect }, config) {
    if (qr) {
      const number = ++this.#qr.number;
      const ttl_ms = config.qrLifetimeMs ?? (number === 1 ? FIRST_QR_MS : NEXT_QR_MS);
      this.#offered.resolve();
      this.#report('qr', { text: qr, ttl_ms, number, limit: this.#qr.limit });
    }
    if (isNewLogin) {
      this.#auth.touch();
      this.#auth.flush();
      this.#report('paired', this.#identity());
    }
    if (connection === 'open') this.#report('open', this.#identity());
    if (connection === 'close') {
      this.#finish(closeOf(lastDisconnect?.error));
      this.#release();
    }
  }

  #identity() {
    const { me, platform } = this.#auth.creds;
    return { jid: me?.id ?? '', name: me?.name ?? null, platform: platform ?? null };
  }

  #report(event, fields) {
    if (!this.#quiet) this.#wire.event(event, { ...this.#address, ...fields });
  }

  /** Sends what is still to be written; from here on the socket neither writes nor reports. */
  #silence() {
    this.#auth?.end();
    this.#quiet = true;
  }

  #finish(closed) {
    this.#auth?.end();
    this.#report('closed', closed);
    this.#quiet = true;
    this.#offered.reject(new Error(`socket closed: ${closed.message}`));
    if (!this.#sock) this.#release();
  }

  async #end() {
    if (this.#sock) void this.#sock.end(undefined);
    else this.#release();
    await this.#gone.promise;
  }

  /** After `connection: close`: lets go of all that would keep the socket in memory. */
  #release() {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#token.socket = null;
    this.#baileysLog.mute();
    this.#wire.forget(this.#address.socket);
    if (this.#sock) abandon(this.#sock);
    this.#gone.resolve();
    this.#onGone();
  }

  #boundClose(ws) {
    const close = ws.close.bind(ws);
    ws.close = async () => {
      ws.socket?.once('close', code => {
        this.#closeAnswered = code !== NO_CLOSE_FRAME;
      });
      const timer = setTimeout(() => ws.socket?.terminate(), CLOSE_FRAME_MS);
      try {
        await close();
      } finally {
        clearTimeout(timer);
      }
    };
  }
}

/** @param {Error & {output?: {statusCode?: number}} | undefined} error why Baileys ended the socket */
export function closeOf(error) {
  const message = error?.message || 'closed';
  // An HTTP status or a network error in place of a WebSocket. Baileys passes the former on as if WhatsApp had said it,
  // and a 401 of some proxy is no logout.
  if (message.startsWith('WebSocket Error (')) return { code: null, message };
  return { code: error?.output?.statusCode ?? null, message };
}

/**
 * Ends whatever waits for an answer on a socket that has ended, now and later. Baileys took their close listeners away,
 * and makes further queries: each would keep the whole socket in memory for 60 s.
 */
function abandon({ ws, signalRepository }) {
  const ended = new Error('socket ended');
  ws.emit('error', ended);
  ws.socket?.terminate();
  ws.removeAllListeners();
  ws.on('error', () => {});
  ws.on = (event, listener) => {
    if (event === 'error') queueMicrotask(() => listener(ended));
    return ws;
  };
  // A login that goes on caches who the account is, with a timer of three days each time.
  signalRepository.lidMapping.mappingCache.set = () => {};
}

function withResolvers() {
  const result = {};
  result.promise = new Promise((resolve, reject) => Object.assign(result, { resolve, reject }));
  return result;
}
