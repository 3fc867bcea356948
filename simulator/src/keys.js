/**
 * Key material. Everything is native OpenSSL through `node:crypto`: signing in JavaScript costs 8 ms a signature, and
 * this server shares its cores with what it tests.
 *
 * WhatsApp signs with XEdDSA: Ed25519 signatures that verify against an X25519 public key. A plain Ed25519 key whose
 * public point has sign bit 0 makes such signatures, and its X25519 form is the same point on the other curve.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  sign,
  verify,
} from 'node:crypto';

const PKCS8 = {
  x25519: Buffer.from('302e020100300506032b656e04220420', 'hex'),
  ed25519: Buffer.from('302e020100300506032b657004220420', 'hex'),
};
const SPKI = {
  x25519: Buffer.from('302a300506032b656e032100', 'hex'),
  ed25519: Buffer.from('302a300506032b6570032100', 'hex'),
};
const P = 2n ** 255n - 19n;

/** @typedef {{ privateKey: import('node:crypto').KeyObject, publicBytes: Buffer }} KeyPair */

const privateKeyOf = (kind, seed) =>
  createPrivateKey({ key: Buffer.concat([PKCS8[kind], seed]), format: 'der', type: 'pkcs8' });
const publicKeyOf = (kind, bytes) =>
  createPublicKey({ key: Buffer.concat([SPKI[kind], bytes]), format: 'der', type: 'spki' });
const publicBytesOf = key => createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32);

/** 32 bytes that depend on `seed` and `label` only. */
export const derive = (seed, label) => createHash('sha256').update(seed).update('\0').update(label).digest();

/** @returns {KeyPair} an X25519 pair made from 32 bytes */
export function agreementKey(seed) {
  const privateKey = privateKeyOf('x25519', seed);
  return { privateKey, publicBytes: publicBytesOf(privateKey) };
}

/** @returns {KeyPair} a fresh X25519 pair */
export function freshAgreementKey() {
  const { privateKey, publicKey } = generateKeyPairSync('x25519');
  return { privateKey, publicBytes: publicKey.export({ format: 'der', type: 'spki' }).subarray(-32) };
}

/** X25519; throws for a public key that is no 32 bytes or of low order. */
export const agree = (privateKey, publicBytes) =>
  diffieHellman({ privateKey, publicKey: publicKeyOf('x25519', publicBytes) });

/**
 * A key that signs as XEdDSA does, made from `seed` and `label`.
 * @returns {KeyPair} `publicBytes` is the X25519 form, the one that verifiers want
 */
export function signingKey(seed, label) {
  for (let attempt = 0; ; attempt++) {
    const privateKey = privateKeyOf('ed25519', derive(seed, `${label}/${attempt}`));
    const point = publicBytesOf(privateKey);
    if (point[31] & 0x80) continue; // sign bit 1: strict XEdDSA verifiers assume 0
    return { privateKey, publicBytes: montgomeryOf(point) };
  }
}

/** The X25519 private key that belongs to the `publicBytes` of a signing key. */
export function agreementKeyOf(signingPrivateKey) {
  const seed = signingPrivateKey.export({ format: 'der', type: 'pkcs8' }).subarray(-32);
  return privateKeyOf('x25519', createHash('sha512').update(seed).digest().subarray(0, 32));
}

/** @returns {Buffer} 64 bytes */
export const signBytes = (privateKey, message) => sign(null, message, privateKey);

/** Whether `signature` is the XEdDSA signature of `message` by the owner of the X25519 key `publicBytes`. */
export function verifySignature(publicBytes, message, signature) {
  if (publicBytes.length !== 32 || signature.length !== 64) return false;
  const point = edwardsOf(publicBytes);
  const plain = Buffer.from(signature);
  point[31] |= plain[63] & 0x80; // older libsignal keeps the point's sign there
  plain[63] &= 0x7f;
  try {
    return verify(null, message, publicKeyOf('ed25519', point), plain);
  } catch {
    return false;
  }
}

const montgomeryOf = point => {
  const y = littleEndian(point);
  return bytesOf((1n + y) * inverse(1n - y));
};

const edwardsOf = publicBytes => {
  const u = littleEndian(publicBytes);
  return bytesOf((u - 1n) * inverse(u + 1n));
};

function littleEndian(bytes) {
  const copy = Buffer.from(bytes).reverse();
  copy[0] &= 0x7f;
  return BigInt(`0x${copy.toString('hex')}`);
}

const bytesOf = number => Buffer.from(modulo(number).toString(16).padStart(64, '0'), 'hex').reverse();

const modulo = number => ((number % P) + P) % P;

function inverse(number) {
  let [a, b, x, y] = [modulo(number), P, 1n, 0n];
  while (a > 1n) {
    const quotient = b / a;
    [a, b] = [b - quotient * a, a];
    [x, y] = [y - quotient * x, x];
  }
  return modulo(x);
}
