/** What passes between a phone, the server and a new client when a QR code is scanned. */
import { createHmac, randomBytes } from 'node:crypto';
import { proto } from 'baileys/WAProto/index.js';
import { invalid } from './errors.js';
import { signBytes, verifySignature } from './keys.js';
import { child } from './stanzas.js';

const ACCOUNT_SIGNATURE = Buffer.from([6, 0]);
const DEVICE_SIGNATURE = Buffer.from([6, 1]);

/** A new QR ref, of the length of WhatsApp's own. */
export const makeRef = () => `2@${randomBytes(60).toString('base64')}`;

/**
 * Takes a QR text apart: `REF,NOISE_PUB,IDENTITY_PUB,ADV_SECRET[,PLATFORM]`, after a `https://…#` in newer clients.
 * @param {unknown} text
 */
export function parseQr(text) {
  if (typeof text !== 'string' || text === '')
    throw invalid('qr: the text of a QR code, such as {"qr": "https://wa.me/settings/linked_devices#2@…"}.');
  const [ref, ...encoded] = text
    .trim()
    .slice(text.trim().indexOf('#') + 1)
    .split(',');
  const [noiseKey, identityKey, advSecret] = encoded.slice(0, 3).map(part => Buffer.from(part, 'base64'));
  if (!ref || encoded.length < 3 || [noiseKey, identityKey, advSecret].some(key => key.length !== 32)) {
    throw invalid(
      'qr: this is not the text of a WhatsApp QR code (a ref and three base64 keys of 32 bytes, with commas between).',
    );
  }
  return { ref, noiseKey, identityKey, advSecret };
}

/**
 * What the phone signs for a new device.
 * @param {import('./keys.js').KeyPair} account
 * @returns {{ identity: Buffer, details: Buffer }} `identity` goes to the client; keep `details` to check its answer
 */
export function signDevice(account, { number, identityKey, advSecret }) {
  const details = proto.ADVDeviceIdentity.encode({
    rawId: randomBytes(4).readUInt32BE(),
    timestamp: Math.floor(Date.now() / 1000),
    keyIndex: number,
  }).finish();
  const signed = proto.ADVSignedDeviceIdentity.encode({
    details,
    accountSignatureKey: account.publicBytes,
    accountSignature: signBytes(account.privateKey, Buffer.concat([ACCOUNT_SIGNATURE, details, identityKey])),
  }).finish();
  const hmac = createHmac('sha256', advSecret).update(signed).digest();
  return { identity: proto.ADVSignedDeviceIdentityHMAC.encode({ details: signed, hmac }).finish(), details };
}

/** Whether the client's answer to `pair-success` is signed by the identity key that its QR code showed. */
export function isAgreement(reply, { account, identityKey, details }) {
  const content = child(child(reply, 'pair-device-sign'), 'device-identity')?.content;
  if (!Buffer.isBuffer(content)) return false;
  const { deviceSignature } = proto.ADVSignedDeviceIdentity.decode(content);
  if (!deviceSignature) return false;
  return verifySignature(
    identityKey,
    Buffer.concat([DEVICE_SIGNATURE, details, identityKey, account.publicBytes]),
    deviceSignature,
  );
}

const { PlatformType } = proto.DeviceProps;

/** What a registering client says of itself. @throws {Error} when it leaves out what linking needs */
export function readRegistration(pairingData, clientKey) {
  const { eRegid, eIdent, deviceProps } = pairingData;
  if (eIdent?.length !== 32 || !eRegid) throw new Error('registration without identity key or registration id');
  const { os, platformType } = proto.DeviceProps.decode(deviceProps ?? Buffer.alloc(0));
  return {
    noiseKey: clientKey,
    identityKey: Buffer.from(eIdent),
    registrationId: Buffer.from(eRegid),
    name: os || null,
    platform: (PlatformType[platformType ?? 0] ?? 'unknown').toLowerCase(),
  };
}
