/**
 * Noise_XX_25519_AESGCM_SHA256, the server's side, as WhatsApp Web uses it: the hash starts from the protocol name and
 * the four header bytes, certificates travel in the second message, and transport frames carry no additional data.
 */
import { createCipheriv, createDecipheriv, createHash, hkdfSync } from 'node:crypto';
import { proto } from 'baileys/WAProto/index.js';
import { agree, agreementKey, derive, freshAgreementKey, signBytes, signingKey } from './keys.js';

const PROTOCOL = Buffer.from('Noise_XX_25519_AESGCM_SHA256\0\0\0\0');
const EMPTY = Buffer.alloc(0);
const TAG_BYTES = 16;

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest();

function nonce(counter) {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt32BE(counter, 8);
  return bytes;
}

function seal(key, counter, plain, additional) {
  const cipher = createCipheriv('aes-256-gcm', key, nonce(counter)).setAAD(additional);
  return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

function unseal(key, counter, sealed, additional) {
  if (sealed.length < TAG_BYTES) throw new Error('frame is shorter than its tag');
  const decipher = createDecipheriv('aes-256-gcm', key, nonce(counter)).setAAD(additional);
  decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
  return Buffer.concat([decipher.update(sealed.subarray(0, -TAG_BYTES)), decipher.final()]);
}

/**
 * What the server proves itself with; made once a process, since it is the only signing besides pairing.
 * @param {Buffer} seed
 */
export function makeAuthority(seed) {
  const root = signingKey(seed, 'root');
  const intermediate = signingKey(seed, 'intermediate');
  const server = agreementKey(derive(seed, 'server'));
  const { CertChain } = proto;
  const certificate = (details, issuer) => {
    const bytes = CertChain.NoiseCertificate.Details.encode(details).finish();
    return { details: bytes, signature: signBytes(issuer.privateKey, bytes) };
  };
  const chain = CertChain.encode({
    intermediate: certificate({ serial: 1, issuerSerial: 0, key: intermediate.publicBytes }, root),
    leaf: certificate({ serial: 2, issuerSerial: 1, key: server.publicBytes }, intermediate),
  }).finish();
  return { rootKey: root.publicBytes, server, chain };
}

/** One handshake: `hello`, then `finish`, in this order, each once. Both throw for what is not a handshake. */
export class Handshake {
  /** Whether the client's first message came and was answered. */
  answered = false;
  #authority;
  #ephemeral = freshAgreementKey();
  #hash = PROTOCOL;
  #salt = PROTOCOL;
  #key = PROTOCOL;
  #counter = 0;

  constructor(authority) {
    this.#authority = authority;
  }

  /** @returns {Buffer} the server's answer to the client's first message */
  hello(header, message) {
    const ephemeral = proto.HandshakeMessage.decode(message).clientHello?.ephemeral;
    if (ephemeral?.length !== 32) throw new Error('no client hello');
    const { server, chain } = this.#authority;
    this.#absorb(header);
    this.#absorb(ephemeral);
    this.#absorb(this.#ephemeral.publicBytes);
    this.#mix(agree(this.#ephemeral.privateKey, ephemeral));
    const staticSealed = this.#seal(server.publicBytes);
    this.#mix(agree(server.privateKey, ephemeral));
    const serverHello = { ephemeral: this.#ephemeral.publicBytes, static: staticSealed, payload: this.#seal(chain) };
    this.answered = true;
    return proto.HandshakeMessage.encode({ serverHello }).finish();
  }

  /** @returns {{ clientKey: Buffer, payload: proto.ClientPayload, transport: Transport }} */
  finish(message) {
    const clientFinish = proto.HandshakeMessage.decode(message).clientFinish;
    if (!clientFinish?.static || !clientFinish.payload) throw new Error('no client finish');
    const clientKey = this.#unseal(clientFinish.static);
    this.#mix(agree(this.#ephemeral.privateKey, clientKey));
    const payload = proto.ClientPayload.decode(this.#unseal(clientFinish.payload));
    const [fromClient, toClient] = this.#expand(EMPTY);
    return { clientKey, payload, transport: new Transport(fromClient, toClient) };
  }

  #absorb(data) {
    this.#hash = sha256(this.#hash, data);
  }

  #expand(secret) {
    const bytes = Buffer.from(hkdfSync('sha256', secret, this.#salt, '', 64));
    return [bytes.subarray(0, 32), bytes.subarray(32)];
  }

  #mix(secret) {
    [this.#salt, this.#key] = this.#expand(secret);
    this.#counter = 0;
  }

  #seal(plain) {
    const sealed = seal(this.#key, this.#counter++, plain, this.#hash);
    this.#absorb(sealed);
    return sealed;
  }

  #unseal(sealed) {
    const plain = unseal(this.#key, this.#counter++, sealed, this.#hash);
    this.#absorb(sealed);
    return plain;
  }
}

/** The two ciphers after the handshake. */
export class Transport {
  #readKey;
  #writeKey;
  #reads = 0;
  #writes = 0;

  constructor(readKey, writeKey) {
    this.#readKey = readKey;
    this.#writeKey = writeKey;
  }

  seal(plain) {
    return seal(this.#writeKey, this.#writes++, plain, EMPTY);
  }

  unseal(sealed) {
    return unseal(this.#readKey, this.#reads++, sealed, EMPTY);
  }
}
