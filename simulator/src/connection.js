/**
 * One WebSocket of one client: handshake, frames, stanzas out, and the ways to end or disturb it. What the client wants
 * once the handshake is done is the business of its role: `Registration` for a new one, `Companion` for a linked one.
 */
import { decodeBinaryNode, encodeBinaryNode } from 'baileys/lib/WABinary/index.js';
import { Companion } from './companion.js';
import { frame, FrameReader } from './frames.js';
import { Handshake } from './noise.js';
import { Registration } from './registration.js';
import { failure } from './stanzas.js';

/** A client that does not close its side this long after it was told to go is cut off. */
const CLOSE_MS = 2_000;
/** What a silenced connection takes in before it stops reading as well. */
const MAX_HELD_BYTES = 4 * 1024 * 1024;

export class Connection {
  /** handshake → linking → pairing → closing, or handshake → online → closing; `closed` in the end */
  state = 'handshake';
  /** @type {Registration | Companion | null} */
  role = null;
  silent = false;
  openedAt = new Date().toISOString();
  #simulator;
  #socket;
  #ws;
  #reader = new FrameReader();
  #handshake;
  #transport = null;
  #frames = [];
  #busy = false;
  #held = [];
  #heldBytes = 0;
  #readers = [];
  #lastId = 0;
  #closeTimer = null;
  #closedBy = 'client';

  /**
   * @param {import('./simulator.js').Simulator} simulator
   * @param {{ id: number, socket: import('node:net').Socket, ws: import('ws').WebSocket }} line
   */
  constructor(simulator, { id, socket, ws }) {
    this.id = id;
    this.#simulator = simulator;
    this.#socket = socket;
    this.#ws = ws;
    this.outbox = simulator.makeOutbox();
    this.#handshake = new Handshake(simulator.authority);
    ws.on('message', data => this.#receive(data));
    ws.on('error', error => this.#broken(error));
    ws.on('close', () => this.#closed());
  }

  get device() {
    return this.role?.device ?? null;
  }

  /** Writes an event about this connection down, and lets rules of its device act on it. */
  note(type, detail) {
    const { device } = this;
    this.#simulator.journal.record(type, { socket: this.id, phone: device?.phone.phone, jid: device?.jid, detail });
    if (device) this.#simulator.applyRules(device, type);
  }

  /** An id for an iq of the server's own. */
  nextId() {
    return `${this.id}-${++this.#lastId}`;
  }

  /** Sends one stanza, after what waits already and after the delay that the behaviour asks for. */
  send(node) {
    if (this.state === 'closing' || this.state === 'closed') return;
    this.#enqueue(() => this.#write(this.#transport.seal(encodeBinaryNode(node))));
  }

  /** Says a last word, if any, and closes. From here on nothing that the client says counts. */
  end(node, reason) {
    if (this.state === 'closing' || this.state === 'closed') return;
    if (node && this.#transport) this.send(node);
    this.#leave('closing');
    this.#closedBy = 'server';
    this.note('ended', reason);
    this.#enqueue(() => {
      this.#ws.close();
      this.#closeTimer = setTimeout(() => this.#ws.terminate(), CLOSE_MS);
    });
  }

  /** Breaks the TCP connection without a word. */
  cut() {
    if (this.state === 'closed') return;
    this.note('cut');
    this.drop('cut');
  }

  /** The same, when it was nobody's command. @param {string} by what the log says of it */
  drop(by = 'server') {
    this.#closedBy = by;
    this.outbox.clear();
    this.#ws.terminate();
    this.#closed();
  }

  /**
   * Goes silent: the TCP connection stays, nothing is read and nothing is sent, not even a WebSocket close. Whether the
   * client hangs up is still noticed, so the bytes are taken off the socket and kept.
   */
  silence() {
    if (this.silent || this.state === 'closed') return;
    this.silent = true;
    this.outbox.hold();
    this.#readers = this.#socket.listeners('data');
    this.#socket.removeAllListeners('data');
    this.#socket.on('data', chunk => {
      this.#held.push(chunk);
      this.#heldBytes += chunk.length;
      if (this.#heldBytes > MAX_HELD_BYTES) this.#socket.pause();
    });
    this.note('silence');
  }

  /** Ends the silence: what came meanwhile is read, what waited is sent. */
  resume() {
    if (!this.silent || this.state === 'closed') return;
    this.silent = false;
    this.note('resume');
    this.#socket.removeAllListeners('data');
    for (const reader of this.#readers) this.#socket.on('data', reader);
    const held = this.#held.splice(0);
    this.#heldBytes = 0;
    this.outbox.release();
    for (const chunk of held) this.#socket.emit('data', chunk);
    this.#socket.resume();
  }

  describe() {
    const { id, state, silent, device, openedAt } = this;
    return { id, state, silent, phone: device?.phone.phone ?? null, jid: device?.jid ?? null, opened_at: openedAt };
  }

  #enqueue(step) {
    const behaviour = this.device?.phone.behaviour ?? this.#simulator.behaviour;
    this.outbox.push(step, behaviour.get('answer_delay_ms'));
  }

  #write(payload) {
    this.#ws.send(frame(payload));
  }

  async #receive(data) {
    try {
      this.#frames.push(...this.#reader.push(data));
      if (this.#busy) return;
      this.#busy = true;
      while (this.#frames.length > 0) await this.#handle(this.#frames.shift());
      this.#busy = false;
    } catch (error) {
      this.#broken(error);
    }
  }

  async #handle(bytes) {
    if (this.state === 'closing' || this.state === 'closed') return;
    if (this.#transport) return this.role.receive(await decodeBinaryNode(this.#transport.unseal(bytes)));
    if (this.#handshake.answered) return this.#admit(this.#handshake.finish(bytes));
    const answer = this.#handshake.hello(this.#reader.header, bytes);
    this.#enqueue(() => this.#write(answer));
  }

  /** The handshake is done, and the client has said who it is. */
  #admit({ clientKey, payload, transport }) {
    this.#transport = transport;
    if (payload.devicePairingData) Registration.admit(this, this.#simulator, { clientKey, payload });
    else Companion.admit(this, this.#simulator, { clientKey, payload });
  }

  /** Refuses what the client came for. */
  refuse(type, code, about = {}) {
    this.#simulator.journal.record(type, { socket: this.id, detail: code, ...about });
    this.end(failure(code), `failure ${code}`);
  }

  #broken(error) {
    if (this.state === 'closed') return;
    this.note('protocol_error', error.message);
    this.drop('protocol error');
  }

  #leave(state) {
    this.state = state;
    this.role?.leave();
  }

  #closed() {
    if (this.state === 'closed') return;
    clearTimeout(this.#closeTimer);
    this.outbox.clear();
    this.#leave('closed');
    this.note('close', this.#closedBy);
    this.#simulator.forget(this);
  }
}
