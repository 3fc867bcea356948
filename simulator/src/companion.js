/** A client that logs in as a linked device, and what it asks once it is in. */
import {
  child,
  deviceRemoved,
  iqError,
  keyDigest,
  offlineDone,
  preKeyCount,
  replaced,
  result,
  success,
} from './stanzas.js';

const LOGGED_OUT = 401;
const BANNED = 403;

export class Companion {
  #connection;
  #simulator;
  #left = false;

  /** Lets a client in, or turns it away: by the behaviour, for a ban, or because it is not linked (any more). */
  static admit(connection, simulator, { clientKey, payload }) {
    const number = payload.device ?? 0;
    const phone = simulator.phones.find(String(payload.username));
    const device = phone?.devices.get(number);
    const answer = (phone?.behaviour ?? simulator.behaviour).take('login');
    const refused = refusal({ answer, phone, device, clientKey });
    if (refused !== null) {
      const jid = `${payload.username}${number ? `:${number}` : ''}@s.whatsapp.net`;
      return connection.refuse('login_refused', refused, { phone: String(payload.username), jid });
    }
    connection.role = new Companion(connection, simulator, device);
    connection.state = 'online';
    connection.role.#enter();
  }

  constructor(connection, simulator, device) {
    this.#connection = connection;
    this.#simulator = simulator;
    this.device = device;
  }

  receive(node) {
    if (node.tag !== 'iq') return;
    const { id, type } = node.attrs;
    if (type !== 'get' && type !== 'set') return;
    const asked = Array.isArray(node.content) ? node.content : [];
    const answer = ANSWERS[`${node.attrs.xmlns} ${type}`];
    const reply = answer?.call(
      this,
      node,
      asked.map(inner => inner.tag),
    );
    if (reply !== null) this.#connection.send(reply ?? result(id));
  }

  leave() {
    if (this.#left) return;
    this.#left = true;
    this.device.sockets.delete(this.#connection);
    this.#simulator.journal.socketClosed({ phone: this.device.phone.phone, jid: this.device.jid });
  }

  #enter() {
    const { device } = this;
    const others = [...device.sockets];
    device.sockets.add(this.#connection);
    this.#simulator.journal.socketOpened({ phone: device.phone.phone, jid: device.jid });
    for (const other of others) other.role.replace();
    this.#connection.send(success(device.lid));
    this.#connection.send(offlineDone());
    this.#connection.note('login');
  }

  /** Another login of the same device has taken its place. */
  replace() {
    this.#connection.note('replaced');
    this.#connection.end(replaced(), 'stream:error conflict replaced');
  }

  keys(node, asked) {
    const { id } = node.attrs;
    if (asked.includes('count')) {
      this.#connection.note('prekey_count', this.device.preKeys);
      return preKeyCount(id, this.device.preKeys);
    }
    if (asked.includes('digest')) {
      this.#connection.note('digest');
      return this.device.preKeys > 0 ? keyDigest(id, this.device) : iqError(id, 404, 'item-not-found');
    }
    const list = child(node, 'list')?.content;
    return Array.isArray(list) ? this.#upload(id, list.length) : undefined;
  }

  /** The client's own logout. */
  unlink(node) {
    const { id } = node.attrs;
    const removed = child(node, 'remove-companion-device');
    if (!removed) return undefined;
    if (removed.attrs.jid !== this.device.jid) return iqError(id, 403, 'not-allowed');
    this.#simulator.phones.unlink(this.device);
    this.#connection.note('unlink', removed.attrs.reason);
    this.#connection.send(result(id));
    this.#connection.end(deviceRemoved(), 'stream:error 401 device_removed');
    return null;
  }

  passive(node, asked) {
    if (asked.includes('active')) this.#connection.note('active');
    return undefined;
  }

  ping() {
    this.#connection.note('ping');
    return undefined;
  }

  #upload(id, count) {
    const { device } = this;
    this.#connection.note('prekey_upload', count);
    device.preKeys += count;
    this.#simulator.phones.touch();
    const delay = device.phone.behaviour.get('prekey_delay_ms');
    if (delay === 0) return result(id);
    this.#simulator.later(delay, () => this.#connection.send(result(id)));
    return null;
  }
}

/** iq namespace and type → what answers it: a stanza, null for none (yet), undefined for an empty result. */
const ANSWERS = {
  'encrypt get': Companion.prototype.keys,
  'encrypt set': Companion.prototype.keys,
  'md set': Companion.prototype.unlink,
  'passive set': Companion.prototype.passive,
  'w:p get': Companion.prototype.ping,
};

/** The code a login is refused with, or null. */
function refusal({ answer, phone, device, clientKey }) {
  if (answer !== 'accept') return answer;
  if (phone?.banned) return BANNED;
  return device?.noiseKey.equals(clientKey) ? null : LOGGED_OUT;
}
