/** A client that is not linked yet: it is offered refs, one phone scans, it agrees, it is sent off to log in. */
import { randomBytes } from 'node:crypto';
import { conflict, gone, SimulatorError } from './errors.js';
import { enterCode } from './linkcode.js';
import { isAgreement, makeRef, readRegistration, signDevice } from './pairing.js';
import {
  child,
  linkCodeRef,
  pairDevice,
  pairSuccess,
  passkeyRequest,
  primaryHello,
  result,
  streamError,
} from './stanzas.js';

export class Registration {
  /** The device that this client has become; null until it agreed. */
  device = null;
  #connection;
  #simulator;
  #client;
  #offer = null;
  /** The code that the client shows, as far as the server knows it: whose phone it is for, and its wrapped key. */
  #code = null;
  /** Who waits for the client's answer to a code that was typed in. */
  #typed = null;
  #left = false;

  /** Takes a client on, or turns it away, as the behaviour says. */
  static admit(connection, simulator, { clientKey, payload }) {
    const client = readRegistration(payload.devicePairingData, clientKey);
    const answer = simulator.behaviour.take('register');
    if (answer !== 'accept') return connection.refuse('registration_refused', answer);
    connection.role = new Registration(connection, simulator, client);
    connection.state = 'linking';
    connection.note('registration', { name: client.name, platform: client.platform });
    if (!simulator.behaviour.get('no_qr')) connection.role.#offerRefs();
  }

  constructor(connection, simulator, client) {
    this.#connection = connection;
    this.#simulator = simulator;
    this.#client = client;
  }

  receive(node) {
    if (node.tag !== 'iq') return;
    const { id, type } = node.attrs;
    if (id === this.#offer?.id) return this.#agreed(node);
    const linkCode = type === 'set' ? child(node, 'link_code_companion_reg') : undefined;
    if (linkCode) return this.#codeStep(id, linkCode);
    if (type === 'get' || type === 'set') this.#connection.send(result(id));
  }

  /** Whether a phone has scanned one of its codes. */
  get used() {
    return this.#offer !== null;
  }

  /**
   * A phone has scanned one of the codes.
   * @param {import('./phones.js').Phone} phone
   * @param {ReturnType<typeof import('./pairing.js').parseQr>} qr
   * @param {import('./rules.js').Rule[]} rules what is to happen to the new device
   * @returns {Promise<import('./phones.js').Device>} once the client agreed; rejects when it does not
   */
  scanned(phone, qr, rules) {
    const { noiseKey, identityKey } = this.#client;
    if (this.#left)
      throw this.used
        ? conflict('This QR code was used already.')
        : gone('The client that showed this QR code is gone.');
    if (!qr.noiseKey.equals(noiseKey) || !qr.identityKey.equals(identityKey))
      throw conflict('The keys in this QR text are not those of the client that was given its ref.');
    this.#makeRoom(phone);
    return this.#propose(phone, qr.advSecret, rules, 'qr');
  }

  /** Whether this client shows a code for that phone to type in. */
  awaitsCode(phone) {
    return this.#code?.phone === phone.phone && !this.#left && !this.used;
  }

  /**
   * The phone's owner has typed in a code. Arguments and result as of `scanned`; rejects with 403 for another code.
   * @param {string} code
   */
  async codeTyped(phone, code, rules) {
    this.#makeRoom(phone);
    const { wrapped, ref } = this.#code;
    const { wrappedKey, finish } = await enterCode({ code, wrapped, account: phone.account });
    const bundle = await new Promise((resolve, reject) => {
      this.#typed = { resolve, reject };
      this.#connection.send(
        primaryHello(this.#connection.nextId(), { wrappedKey, identityKey: phone.account.publicBytes, ref }),
      );
      if (this.#left) this.leave();
    });
    return this.#propose(phone, finish(bundle, this.#client.identityKey), rules, 'code');
  }

  /** Refuses a phone that cannot link this client now; makes it forget another one that is no longer to. */
  #makeRoom(phone) {
    if (phone.behaviour.get('passkey')) this.#demandPasskey(phone);
    if (this.#offer && this.#simulator.behaviour.get('first_scan_wins'))
      throw conflict(`This QR code was scanned already, by phone ${this.#offer.phone.phone}.`);
    this.#offer?.reject(conflict(`Phone ${phone.phone} scanned the same code, and its scan was taken instead.`));
  }

  leave() {
    this.#left = true;
    for (const waiting of [this.#typed, this.#offer])
      waiting?.reject(new SimulatorError(504, 'The client went away before it agreed to be linked.'));
  }

  #offerRefs() {
    const { behaviour } = this.#simulator;
    const refs = Array.from({ length: behaviour.get('refs') }, makeRef);
    const { first, next } = behaviour.get('ref_lifetime_ms');
    const now = Date.now();
    refs.forEach((ref, index) => this.#simulator.refs.add(ref, this, now + first + index * next));
    this.#connection.send(pairDevice(this.#connection.nextId(), refs));
    this.#connection.note('refs', refs.length);
  }

  #demandPasskey(phone) {
    this.#connection.send(passkeyRequest(this.#connection.nextId()));
    this.#simulator.journal.record('passkey', { socket: this.#connection.id, phone: phone.phone });
    throw conflict('The client was asked for a passkey instead of being linked (behaviour `passkey`).');
  }

  /** What a client says about its code: that it shows one, and later what the phone needs to finish. */
  #codeStep(id, step) {
    const part = tag => {
      const content = child(step, tag)?.content;
      if (!Buffer.isBuffer(content)) throw new Error(`link_code_companion_reg without ${tag}`);
      return content;
    };
    if (step.attrs.stage === 'companion_finish') {
      this.#typed?.resolve(part('link_code_pairing_wrapped_key_bundle'));
      return this.#connection.send(result(id));
    }
    const ref = randomBytes(16);
    const phone = String(step.attrs.jid).split('@')[0];
    this.#code = { phone, wrapped: part('link_code_pairing_wrapped_companion_ephemeral_pub'), ref };
    this.#connection.send(linkCodeRef(id, ref));
    this.#simulator.journal.record('code_shown', { socket: this.#connection.id, phone });
  }

  #propose(phone, advSecret, rules, how) {
    const { identityKey } = this.#client;
    const number = phone.reserveNumber();
    const { identity, details } = signDevice(phone.account, { number, identityKey, advSecret });
    const id = this.#connection.nextId();
    const jid = `${phone.phone}:${number}@s.whatsapp.net`;
    const lid = `${phone.lid}:${number}@lid`;
    this.#connection.state = 'pairing';
    this.#connection.send(pairSuccess(id, { identity, jid, lid, platform: phone.platform, businessName: phone.name }));
    this.#simulator.journal.record('scan', { socket: this.#connection.id, phone: phone.phone, jid, detail: how });
    return new Promise((resolve, reject) => {
      this.#offer = { id, phone, number, details, rules, resolve, reject };
    });
  }

  /** The client's answer to `pair-success`. */
  #agreed(node) {
    const { phone, number, details, rules, resolve } = this.#offer;
    if (!child(node, 'pair-device-sign')) throw new Error('the client refused to be paired');
    if (!isAgreement(node, { account: phone.account, identityKey: this.#client.identityKey, details })) {
      throw new Error('pair-device-sign is not signed by the key of the QR code');
    }
    this.device = this.#simulator.phones.link(phone, { number, ...this.#client });
    this.device.rules = rules;
    resolve(this.device);
    this.#connection.note('paired');
    this.#connection.end(streamError(515), 'stream:error 515');
  }
}
