/**
 * Linking with a phone number: the client shows a code of eight characters, the phone's owner types it in. The code
 * never travels; it wraps an ephemeral key of each side, and from those both make the secret that a QR code would show.
 */
import { createCipheriv, createDecipheriv, hkdfSync, pbkdf2, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { SimulatorError } from './errors.js';
import { agree, agreementKeyOf, freshAgreementKey } from './keys.js';

const ITERATIONS = 131_072;
const SALT_BYTES = 32;
const IV_BYTES = 16;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

const keyOf = (code, salt) => promisify(pbkdf2)(code, salt, ITERATIONS, 32, 'sha256');

async function wrap(code, publicBytes) {
  const salt = randomBytes(SALT_BYTES);
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv('aes-256-ctr', await keyOf(code, salt), iv);
  return Buffer.concat([salt, iv, cipher.update(publicBytes), cipher.final()]);
}

async function unwrap(code, wrapped) {
  if (wrapped.length !== SALT_BYTES + IV_BYTES + 32)
    throw new SimulatorError(409, 'What the client sent with its code is not a wrapped key.');
  const salt = wrapped.subarray(0, SALT_BYTES);
  const iv = wrapped.subarray(SALT_BYTES, SALT_BYTES + IV_BYTES);
  const decipher = createDecipheriv('aes-256-ctr', await keyOf(code, salt), iv);
  return Buffer.concat([decipher.update(wrapped.subarray(SALT_BYTES + IV_BYTES)), decipher.final()]);
}

/**
 * The phone's side, once a code was typed in.
 * @param {{ code: string, wrapped: Buffer, account: import('./keys.js').KeyPair }} what `wrapped`: what the client sent
 * @returns `wrappedKey`, to be sent to the client, and `finish`, which makes the secret from the client's answer
 */
export async function enterCode({ code, wrapped, account }) {
  const ephemeral = freshAgreementKey();
  const [clientEphemeral, wrappedKey] = await Promise.all([unwrap(code, wrapped), wrap(code, ephemeral.publicBytes)]);
  const finish = (bundle, identityKey) => {
    const shared = agree(ephemeral.privateKey, clientEphemeral);
    const random = openBundle(bundle, shared);
    const secret = Buffer.concat([shared, agree(agreementKeyOf(account.privateKey), identityKey), random]);
    return Buffer.from(hkdfSync('sha256', secret, '', 'adv_secret', 32));
  };
  return { wrappedKey, finish };
}

/** @returns {Buffer} the client's random part. @throws {SimulatorError} 403 when the code was another one */
function openBundle(bundle, shared) {
  const salt = bundle.subarray(0, SALT_BYTES);
  const nonce = bundle.subarray(SALT_BYTES, SALT_BYTES + NONCE_BYTES);
  const key = Buffer.from(hkdfSync('sha256', shared, salt, 'link_code_pairing_key_bundle_encryption_key', 32));
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, nonce).setAuthTag(bundle.subarray(-TAG_BYTES));
    const opened = Buffer.concat([
      decipher.update(bundle.subarray(SALT_BYTES + NONCE_BYTES, -TAG_BYTES)),
      decipher.final(),
    ]);
    return opened.subarray(64);
  } catch {
    throw new SimulatorError(403, 'This is not the code that the client shows.');
  }
}
