/**
 * Faster and stricter functions for Baileys' exported `Curve` object.
 *
 * Stricter: `Curve.verify` of baileys 7.0.0-rc14 drops the verdict of libsignal and returns true for any signature of
 * 64 bytes, so the server's certificate and the phone's account signature are not checked at all. Here they are.
 * Faster: keys, agreements and signatures come from libsodium where `sodium-native` loads, else stay Baileys' own.
 *
 * Signatures are XEdDSA (https://signal.org/docs/specifications/xeddsa/): Ed25519 with a Curve25519 key; the sign bit of
 * the Edwards public key travels in the top bit of the signature.
 */

import { createPublicKey, verify as verifyEd25519 } from 'node:crypto';

const P = 2n ** 255n - 19n;
const ED25519_SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');

/** @returns {Promise<object | null>} the `sodium-native` module, null where it does not load */
export async function loadSodium() {
  try {
    return (await import('sodium-native')).default;
  } catch {
    return null; // no prebuilt binary for this platform
  }
}

/**
 * @param {object} curve Baileys' `Curve`, changed in place
 * @param {object | null} sodium the `sodium-native` module
 */
export function hardenCurve(curve, sodium) {
  Object.assign(curve, { verify }, sodium && sodiumCurve(sodium));
}

function sodiumCurve(sodium) {
  return {
    generateKeyPair() {
      const pair = { private: Buffer.alloc(32), public: Buffer.alloc(32) };
      sodium.randombytes_buf(pair.private);
      clamp(pair.private);
      sodium.crypto_scalarmult_base(pair.public, pair.private);
      return pair;
    },

    sharedKey(privateKey, publicKey) {
      const shared = Buffer.alloc(32);
      // Throws on a public key of small order, as OpenSSL does.
      sodium.crypto_scalarmult(shared, privateBytes(privateKey), publicBytes(publicKey));
      return shared;
    },

    sign(privateKey, message) {
      if (!(message instanceof Uint8Array)) throw new TypeError('message must be bytes');
      const scalar = clamp(Buffer.from(privateBytes(privateKey)));
      const publicKey = Buffer.alloc(32);
      const signature = Buffer.alloc(64);
      sodium.crypto_scalarmult_ed25519_base_noclamp(publicKey, scalar);
      // Ed25519 with a given scalar; the nonce is SHA-512 over a prefix, the scalar and the message.
      sodium.extension_tweak_ed25519_sign_detached(signature, message, scalar, publicKey);
      signature[63] |= publicKey[31] & 0x80;
      sodium.sodium_memzero(scalar);
      return signature;
    },
  };
}

/** @returns {boolean} false for anything that is not a valid signature, malformed arguments included */
function verify(publicKey, message, signature) {
  try {
    if (!(message instanceof Uint8Array) || !(signature instanceof Uint8Array) || signature.length !== 64) return false;
    const edwards = edwardsPublicKey(publicBytes(publicKey));
    if (!edwards) return false;
    edwards[31] |= signature[63] & 0x80;
    const plain = Buffer.from(signature);
    plain[63] &= 0x7f;
    const key = createPublicKey({ key: Buffer.concat([ED25519_SPKI_PREFIX, edwards]), format: 'der', type: 'spki' });
    return verifyEd25519(null, message, key, plain);
  } catch {
    return false;
  }
}

/** The Edwards point of a Montgomery u: y = (u - 1) / (u + 1), sign bit 0. Null for u = -1, which has none. */
function edwardsPublicKey(montgomery) {
  const bytes = Buffer.from(montgomery);
  bytes[31] &= 0x7f;
  const u = BigInt(`0x${bytes.reverse().toString('hex')}`) % P;
  if (u === P - 1n) return null;
  const y = (((u - 1n + P) % P) * inverse(u + 1n)) % P;
  return Buffer.from(y.toString(16).padStart(64, '0'), 'hex').reverse();
}

/** Modular inverse by Euclid's algorithm. Its time depends on the number: for public keys only. */
function inverse(number) {
  let [a, b, x, y] = [number % P, P, 1n, 0n];
  while (a > 1n) {
    const quotient = b / a;
    [a, b, x, y] = [b % a, a, y - quotient * x, x];
  }
  return ((x % P) + P) % P;
}

function clamp(scalar) {
  scalar[0] &= 248;
  scalar[31] = (scalar[31] & 127) | 64;
  return scalar;
}

function privateBytes(key) {
  if (!(key instanceof Uint8Array) || key.length !== 32) throw new TypeError('private key must be 32 bytes');
  return key;
}

/** Public keys come with or without libsignal's type byte, 5. */
function publicBytes(key) {
  if (key instanceof Uint8Array && key.length === 32) return key;
  if (key instanceof Uint8Array && key.length === 33 && key[0] === 5) return key.subarray(1);
  throw new TypeError('public key must be 32 bytes, or 33 beginning with 5');
}
