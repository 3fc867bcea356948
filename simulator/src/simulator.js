/** The simulator itself: everything that exists, and everything that can be done to it. No HTTP here. */
import { randomBytes } from 'node:crypto';
import { Behaviour } from './behaviour.js';
import { Connection } from './connection.js';
import { invalid, notFound, SimulatorError } from './errors.js';
import { Journal } from './journal.js';
import { derive } from './keys.js';
import { makeAuthority } from './noise.js';
import { Outbox } from './outbox.js';
import { parseQr } from './pairing.js';
import { Phones } from './phones.js';
import { Refs } from './refs.js';
import { parseRules } from './rules.js';
import { load, save } from './state.js';
import { deviceRemoved, streamError } from './stanzas.js';

export class Simulator {
  behaviour = new Behaviour();
  journal = new Journal();
  refs = new Refs();
  /** @type {Map<number, Connection>} */
  connections = new Map();
  #seed;
  #stateFile;
  #saving = null;
  #timers = new Set();
  #lastConnection = 0;

  /**
   * @param {{ seed?: string, stateFile?: string }} options `seed`: makes every key the same at each start
   * @throws {Error} when the state file is none, or was made with another seed
   */
  constructor({ seed, stateFile } = {}) {
    const saved = stateFile ? load(stateFile) : null;
    if (saved && seed !== undefined && seed !== saved.seed)
      throw new Error(`${stateFile} was made with another seed. Leave --seed out, or name another file.`);
    this.#stateFile = stateFile;
    this.#seed = saved?.seed ?? seed ?? randomBytes(32).toString('hex');
    const key = derive(Buffer.from(this.#seed), 'relink-simulator');
    this.authority = makeAuthority(key);
    this.phones = new Phones({ seed: key, defaults: this.behaviour }, () => this.#changed());
    this.phones.restore(saved?.phones);
    this.#changed();
  }

  /** The trust root, hex: what the client must hold for WhatsApp's own. */
  get rootKey() {
    return this.authority.rootKey.toString('hex');
  }

  makeOutbox() {
    return new Outbox();
  }

  /** Takes on a WebSocket that was just opened. */
  accept(socket, ws) {
    const connection = new Connection(this, { id: ++this.#lastConnection, socket, ws });
    this.connections.set(connection.id, connection);
    connection.note('connect');
    if (this.behaviour.get('handshake') === 'silent') connection.silence();
  }

  forget(connection) {
    this.connections.delete(connection.id);
  }

  /**
   * A phone scans a QR code.
   * @param {string} phoneName
   * @param {{ qr: string, then?: unknown, timeoutMs?: number }} what `timeoutMs`: how long to wait for the client
   * @returns {Promise<import('./phones.js').Device>} once the client has agreed
   * @throws {SimulatorError} 403 banned, 404 unknown phone or ref, 409 used or unfit, 410 expired or gone, 422 no QR
   *   text, 504 no answer
   */
  async scan(phoneName, { qr, then, timeoutMs = 10_000 }) {
    const phone = this.phones.get(phoneName);
    const rules = parseRules(then);
    const code = parseQr(qr);
    const registration = this.refs.find(code.ref);
    if (phone.banned) throw new SimulatorError(403, `Phone ${phone.phone} is banned, and cannot link devices.`);
    return soon(registration.scanned(phone, code, rules), timeoutMs);
  }

  /**
   * A phone's owner types in the code that a client shows for this phone.
   * @param {string} phoneName
   * @param {{ code: string, then?: unknown, timeoutMs?: number }} what as for `scan`
   * @returns {Promise<import('./phones.js').Device>} once the client has agreed
   * @throws {SimulatorError} as `scan`; 403 also for a wrong code, 404 when no client shows a code for this phone
   */
  async enterCode(phoneName, { code, then, timeoutMs = 10_000 }) {
    const phone = this.phones.get(phoneName);
    const rules = parseRules(then);
    if (typeof code !== 'string' || !/^[\w -]{8,20}$/.test(code))
      throw invalid('code: the eight characters that the client shows, such as {"code": "ABCD-1234"}.');
    if (phone.banned) throw new SimulatorError(403, `Phone ${phone.phone} is banned, and cannot link devices.`);
    const waiting = [...this.connections.values()].map(({ role }) => role).filter(role => role?.awaitsCode?.(phone));
    if (waiting.length === 0) throw notFound(`No client shows a code for phone ${phone.phone}.`);
    return soon(waiting.at(-1).codeTyped(phone, code.replace(/[ -]/g, ''), rules), timeoutMs);
  }

  /** Something happens to one device, or to all of a phone. @returns the jids of those it happened to */
  command(phoneName, { verb, device: name = null, code = null }) {
    const phone = this.phones.get(phoneName);
    const devices = name === null ? [...phone.devices.values()] : [phone.device(name)];
    if (verb === 'ban' || verb === 'unban') this.#ban(phone, verb === 'ban');
    else for (const device of devices) this.#perform(device, verb, code);
    return devices.map(device => device.jid);
  }

  /** Adds rules to devices that are linked already. */
  addRules(phoneName, { device: name = null, then }) {
    const phone = this.phones.get(phoneName);
    const rules = parseRules(then);
    const devices = name === null ? [...phone.devices.values()] : [phone.device(name)];
    for (const device of devices) device.rules.push(...rules);
    return devices.map(device => device.jid);
  }

  applyRules(device, moment) {
    const due = device.rules.filter(rule => rule.on === moment);
    if (due.length === 0) return;
    device.rules = device.rules.filter(rule => rule.on !== moment);
    for (const rule of due) {
      const act = () =>
        rule.do.endsWith('ban')
          ? this.#ban(device.phone, rule.do === 'ban')
          : this.#perform(device, rule.do, rule.code);
      rule.after_ms === 0 ? act() : this.later(rule.after_ms, act);
    }
  }

  /**
   * `cut`, `silence`, `resume` or `close` one connection, linked or not, or all.
   * @returns the ids of those it happened to
   */
  disturb(id, { verb, code = null }) {
    const chosen = id === null ? [...this.connections.values()] : [this.connections.get(id)];
    if (chosen[0] === undefined && id !== null)
      throw notFound(`There is no open socket ${id}. GET /sockets lists them.`);
    for (const connection of chosen) disturb(connection, verb, code);
    return chosen.map(connection => connection.id);
  }

  /** Unlinks its devices and forgets it. @returns the phone */
  deletePhone(phoneName) {
    const phone = this.phones.get(phoneName);
    for (const device of [...phone.devices.values()]) this.#perform(device, 'logout', null);
    this.phones.delete(phone);
    return phone;
  }

  counters() {
    return this.journal.counters(this.connections.size);
  }

  /** As at the start: no connections, no devices, one phone, nothing counted. Keys stay, so that settings stay true. */
  reset() {
    this.#dropAll();
    this.behaviour.replace({});
    this.phones.restore();
    this.refs.clear();
    this.journal.reset();
    this.#changed();
  }

  /** Ends everything at once. */
  close() {
    this.#dropAll();
    this.journal.release();
    this.#save();
  }

  /** Does something later, unless the simulator ends or is reset before. */
  later(ms, act) {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, ms);
    this.#timers.add(timer);
  }

  #perform(device, verb, code) {
    if (verb === 'logout') return this.#remove(device);
    for (const connection of [...device.sockets]) {
      if (verb === 'replace') connection.role.replace();
      else disturb(connection, verb, code);
    }
  }

  #remove(device) {
    if (device.phone.devices.get(device.number) !== device) return;
    this.phones.unlink(device);
    this.journal.record('removed', { phone: device.phone.phone, jid: device.jid });
    for (const connection of [...device.sockets]) connection.end(deviceRemoved(), 'stream:error 401 device_removed');
  }

  #ban(phone, banned) {
    phone.banned = banned;
    this.phones.touch();
    this.journal.record(banned ? 'banned' : 'unbanned', { phone: phone.phone });
    if (!banned) return;
    for (const device of phone.devices.values()) {
      for (const connection of [...device.sockets]) connection.end(streamError(403), 'stream:error 403');
    }
  }

  #dropAll() {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    for (const connection of [...this.connections.values()]) connection.drop();
  }

  #changed() {
    if (!this.#stateFile || this.#saving) return;
    this.#saving = setImmediate(() => this.#save());
  }

  #save() {
    clearImmediate(this.#saving);
    this.#saving = null;
    if (this.#stateFile) save(this.#stateFile, this.#seed, this.phones);
  }
}

function disturb(connection, verb, code) {
  if (verb === 'cut') connection.cut();
  else if (verb === 'silence') connection.silence();
  else if (verb === 'resume') connection.resume();
  else connection.end(streamError(code), `stream:error ${code ?? 'without code'}`);
}

/** `agreed`, unless it takes longer than a client should. */
function soon(agreed, timeoutMs) {
  let timer;
  const late = new Promise((_, reject) => {
    const detail = `The client did not answer within ${timeoutMs / 1000} s. If it does later, it is linked.`;
    timer = setTimeout(() => reject(new SimulatorError(504, detail)), timeoutMs);
  });
  return Promise.race([agreed, late]).finally(() => clearTimeout(timer));
}
