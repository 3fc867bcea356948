/** Who exists: phones, each an account, and the devices linked to them. Plain data; nothing here sends anything. */
import { createHash } from 'node:crypto';
import { Behaviour } from './behaviour.js';
import { conflict, invalid, notFound } from './errors.js';
import { derive, signingKey } from './keys.js';

const FIRST_PHONE = 15550001001;
/** A device number travels in one byte. */
const MAX_DEVICE = 255;

/** A linked device: what the server knows of one client. */
export class Device {
  /** Connections that are logged in as this device; more than one only while a login replaces another. */
  sockets = new Set();
  /** What is to happen to it later: see `rules.js`. */
  rules = [];

  constructor(phone, fields) {
    this.phone = phone;
    this.number = fields.number;
    this.jid = `${phone.phone}:${fields.number}@s.whatsapp.net`;
    this.lid = `${phone.lid}:${fields.number}@lid`;
    this.noiseKey = fields.noiseKey;
    this.identityKey = fields.identityKey;
    this.registrationId = fields.registrationId;
    this.name = fields.name;
    this.platform = fields.platform;
    this.linkedAt = fields.linkedAt ?? new Date().toISOString();
    this.preKeys = fields.preKeys ?? 0;
  }

  describe() {
    const { jid, lid, name, platform, preKeys, linkedAt } = this;
    return { jid, lid, name, platform, linked_at: linkedAt, pre_keys: preKeys, online: this.sockets.size > 0 };
  }
}

/** One phone, that is, one WhatsApp account. */
export class Phone {
  /** @type {Map<number, Device>} */
  devices = new Map();
  #account = null;

  constructor(fields, { seed, defaults }) {
    this.phone = fields.phone;
    this.name = fields.name ?? null;
    this.platform = fields.platform ?? 'android';
    this.banned = fields.banned ?? false;
    this.lastDevice = fields.lastDevice ?? 0;
    this.lid = lidOf(fields.phone);
    this.behaviour = new Behaviour(defaults);
    this.seed = seed;
  }

  /** The key that vouches for its devices; made at the first scan, since it costs a little. */
  get account() {
    this.#account ??= signingKey(this.seed, `account/${this.phone}`);
    return this.#account;
  }

  /** Takes the next free number for a device; numbers come back only after all others were used. */
  reserveNumber() {
    for (let step = 1; step <= MAX_DEVICE; step++) {
      const number = ((this.lastDevice + step - 1) % MAX_DEVICE) + 1;
      if (this.devices.has(number)) continue;
      this.lastDevice = number;
      return number;
    }
    throw conflict(
      `Phone ${this.phone} has ${MAX_DEVICE} linked devices, and there is no room for more. Scan with another phone.`,
    );
  }

  /** @returns {Device} by its number or jid */
  device(name) {
    for (const device of this.devices.values())
      if (device.jid === name || String(device.number) === String(name)) return device;
    throw notFound(`Phone ${this.phone} has no linked device ${name}.`);
  }

  describe() {
    const { phone, name, platform, banned } = this;
    const jid = `${phone}@s.whatsapp.net`;
    return { phone, jid, name, platform, banned, devices: [...this.devices.values()].map(device => device.describe()) };
  }
}

/** All phones. There is one from the start, so that nobody has to make one. */
export class Phones {
  /** @type {Map<string, Phone>} */
  #byNumber = new Map();
  #context;
  #changed;

  /**
   * @param {{ seed: Buffer, defaults: Behaviour }} context
   * @param {() => void} changed called after each change that should last
   */
  constructor(context, changed) {
    this.#context = context;
    this.#changed = changed;
  }

  /** Forgets all, and begins again with `saved` phones, or with one. */
  restore(saved = []) {
    this.#byNumber.clear();
    for (const fields of saved) {
      const phone = this.#put(fields);
      for (const device of fields.devices) phone.devices.set(device.number, new Device(phone, device));
    }
    if (this.#byNumber.size === 0) this.#put({ phone: String(FIRST_PHONE) });
  }

  /** @returns {Phone} or undefined */
  find(number) {
    return this.#byNumber.get(number);
  }

  /** @returns {Phone} by number (`+` and spaces do not matter); `default` is the oldest */
  get(name) {
    const phone = name === 'default' ? this.#byNumber.values().next().value : this.#byNumber.get(normalise(name));
    if (!phone)
      throw notFound(`There is no phone ${name}. GET /phones lists those that exist, POST /phones makes one.`);
    return phone;
  }

  add({ phone, name, platform }) {
    const number = phone === undefined ? this.#nextNumber() : normalise(phone);
    if (!/^[1-9]\d{4,14}$/.test(number))
      throw invalid('phone: 5 to 15 digits in international form, such as "+1 555 000 1002".');
    if (this.#byNumber.has(number)) throw conflict(`Phone ${number} exists already.`);
    const added = this.#put({ phone: number, name, platform });
    this.#changed();
    return added;
  }

  delete(phone) {
    this.#byNumber.delete(phone.phone);
    this.#changed();
  }

  link(phone, fields) {
    const device = new Device(phone, fields);
    phone.devices.set(device.number, device);
    this.#changed();
    return device;
  }

  unlink(device) {
    device.phone.devices.delete(device.number);
    this.#changed();
  }

  /** To be called after a lasting field of a phone or a device was set. */
  touch() {
    this.#changed();
  }

  [Symbol.iterator]() {
    return this.#byNumber.values();
  }

  #put(fields) {
    const phone = new Phone(fields, this.#context);
    this.#byNumber.set(phone.phone, phone);
    return phone;
  }

  #nextNumber() {
    let number = FIRST_PHONE;
    while (this.#byNumber.has(String(number))) number++;
    return String(number);
  }
}

const normalise = name => String(name).replace(/[\s+()-]/g, '');

/** WhatsApp's hidden id of an account: 15 digits that do not tell the phone number, here the same at every start. */
function lidOf(phone) {
  const digest = derive(createHash('sha256').update(phone).digest(), 'lid');
  return `1${String(digest.readBigUInt64BE() % 10n ** 14n).padStart(14, '0')}`;
}
