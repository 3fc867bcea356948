import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { Curve } from 'baileys';
import { verify as verifyInJavaScript } from 'curve25519-js';
import { agree, agreementKey, derive, freshAgreementKey, signBytes, signingKey, verifySignature } from '../src/keys.js';

test('our signatures are XEdDSA to an independent verifier', () => {
  for (let index = 0; index < 5; index++) {
    const { privateKey, publicBytes } = signingKey(randomBytes(32), 'any');
    const message = randomBytes(40);
    const signature = signBytes(privateKey, message);
    assert.ok(verifyInJavaScript(publicBytes, message, signature));
    assert.equal(signature[63] & 0x80, 0);
    message[0] ^= 1;
    assert.ok(!verifyInJavaScript(publicBytes, message, signature));
  }
});

test("the client's signatures are good to us, altered ones are not", () => {
  for (let index = 0; index < 5; index++) {
    const { private: privateKey, public: publicBytes } = Curve.generateKeyPair();
    const message = randomBytes(40);
    const signature = Curve.sign(privateKey, message);
    assert.ok(verifySignature(publicBytes, message, signature));
    assert.ok(!verifySignature(publicBytes, Buffer.concat([message, message]), signature));
    assert.ok(!verifySignature(freshAgreementKey().publicBytes, message, signature));
    signature[5] ^= 1;
    assert.ok(!verifySignature(publicBytes, message, signature));
    assert.ok(!verifySignature(publicBytes, message, signature.subarray(1)));
    assert.ok(!verifySignature(publicBytes.subarray(1), message, signature));
  }
});

test('a zero key verifies nothing', () => {
  assert.ok(!verifySignature(Buffer.alloc(32), Buffer.from('x'), Buffer.alloc(64)));
});

test('agreement is the same from both sides, and the same as that of the client', () => {
  const ours = freshAgreementKey();
  const theirs = Curve.generateKeyPair();
  assert.deepEqual(agree(ours.privateKey, theirs.public), Curve.sharedKey(theirs.private, ours.publicBytes));
});

test('keys depend on seed and label only', () => {
  const seed = Buffer.from('seed');
  assert.deepEqual(signingKey(seed, 'a').publicBytes, signingKey(seed, 'a').publicBytes);
  assert.notDeepEqual(signingKey(seed, 'a').publicBytes, signingKey(seed, 'b').publicBytes);
  assert.deepEqual(agreementKey(derive(seed, 'a')).publicBytes, agreementKey(derive(seed, 'a')).publicBytes);
});
