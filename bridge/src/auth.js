/** The auth state that Baileys sees: fields of the store, asked for and written over the wire. */

import { BufferJSON, initAuthCreds, proto } from 'baileys';

/** Name of a key in the store, as the npm library `baileys-redis-auth` makes it. */
export function fieldName(type, id) {
  return `${type}-${id}`.replace(/\//g, '__').replace(/:/g, '-');
}

/** @param {string} text @throws {SyntaxError} */
export function decode(text) {
  return JSON.parse(text, BufferJSON.reviver);
}

export function encode(value) {
  return isKeyPair(value) ? encodeKeyPair(value) : JSON.stringify(value, BufferJSON.replacer);
}

function isKeyPair(value) {
  if (!(value?.public instanceof Uint8Array && value.private instanceof Uint8Array)) return false;
  return Object.keys(value).length === 2;
}

/** As above, without the arrays of numbers that `JSON.stringify` makes of each buffer first: a login waits for 812. */
function encodeKeyPair(pair) {
  const parts = Object.keys(pair).map(name => `"${name}":{"type":"Buffer","data":"${base64(pair[name])}"}`);
  return `{${parts.join(',')}}`;
}

function base64(bytes) {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

/**
 * Writes of one tick go out as one request, which the store applies in one step: Baileys announces new pre-key numbers
 * in the credentials before it writes those pre-keys, and one without the other is a broken session.
 */
export class Auth {
  #get;
  #set;
  #onCredsLost;
  #batch = null;
  #ended = false;

  /**
   * @param {string | null} credsText the `creds` field; null: a new device
   * @param {{get: (fields: string[]) => Promise<Record<string, string>>,
   *   set: (values: Record<string, string | null>) => Promise<unknown>, onCredsLost: (error: Error) => void}} store
   * @throws {SyntaxError} when the credentials cannot be read
   */
  constructor(credsText, { get, set, onCredsLost }) {
    this.creds = credsText === null ? initAuthCreds() : decode(credsText);
    if (!this.creds?.noiseKey?.private || !this.creds.signedIdentityKey?.private) throw new SyntaxError('not credentials');
    // A pairing code that nobody typed leaves `me` behind, and Baileys would log in with it instead of registering.
    if (!this.linked) delete this.creds.me;
    this.#get = get;
    this.#set = set;
    this.#onCredsLost = onCredsLost;
  }

  /** Whether a phone has linked these credentials (`registered` says so only for pairing codes). */
  get linked() {
    return Boolean(this.creds.account);
  }

  /** What `makeWASocket` takes as `auth`. */
  get state() {
    return { creds: this.creds, keys: { get: this.#read.bind(this), set: this.#write.bind(this) } };
  }

  /** Notes that the credentials changed. Before the link is made they are of no use to anyone, and stay here. */
  touch() {
    if (!this.#ended && this.linked) this.#open().creds = true;
  }

  /** Sends what is waiting to be written, now. */
  flush() {
    const batch = this.#batch;
    if (!batch) return;
    this.#batch = null;
    clearImmediate(batch.timer);
    if (batch.creds) batch.values.creds = encode(this.creds);
    this.#set(batch.values).then(batch.resolve, error => {
      if (batch.creds) this.#onCredsLost(error);
      batch.reject(error);
    });
  }

  /** From here on reads find nothing and writes go nowhere: Baileys goes on for a while after a socket ended. */
  end() {
    this.flush();
    this.#ended = true;
  }

  async #read(type, ids) {
    // Before the link is made the store has nothing of this device.
    if (this.#ended || !this.linked || ids.length === 0) return {};
    this.flush();
    const names = new Map(ids.map(id => [id, fieldName(type, id)]));
    const values = (await this.#get([...names.values()])) ?? {};
    const found = {};
    for (const [id, name] of names) {
      if (values[name] === undefined) continue;
      const value = decode(values[name]);
      found[id] = type === 'app-state-sync-key' && value ? proto.Message.AppStateSyncKeyData.fromObject(value) : value;
    }
    return found;
  }

  async #write(data) {
    if (this.#ended) return;
    const values = {};
    for (const [type, entries] of Object.entries(data)) {
      for (const [id, value] of Object.entries(entries)) values[fieldName(type, id)] = value ? encode(value) : null;
    }
    if (Object.keys(values).length === 0) return;
    const batch = this.#open();
    Object.assign(batch.values, values);
    await batch.done;
  }

  #open() {
    if (this.#batch) return this.#batch;
    const batch = { values: {}, creds: false };
    batch.done = new Promise((resolve, reject) => Object.assign(batch, { resolve, reject }));
    batch.done.catch(() => {}); // who awaits it hears of it; a write of credentials alone has nobody
    batch.timer = setImmediate(() => this.flush());
    this.#batch = batch;
    return batch;
  }
}
