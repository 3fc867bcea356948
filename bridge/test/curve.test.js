import assert from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import { createRequire } from 'node:module';
import { test } from 'node:test';

import { Curve } from 'baileys';

import { hardenCurve, loadSodium } from '../src/curve.js';

/** What Baileys' own functions rest on, with the verdict that `Curve.verify` drops. */
const require = createRequire(import.meta.resolve('baileys'));
const libsignal = require('libsignal/src/curve.js');
const original = { ...Curve };
const trueVerify = (key, message, signature) =>
  libsignal.verifySignature(Buffer.concat([Buffer.from([5]), key]), message, signature);

const ROUNDS = 25;
const sodium = await loadSodium();
const fast = { ...original };
hardenCurve(fast, sodium);
const plain = { ...original };
hardenCurve(plain, null);

test('sodium-native loads here, so that the fast functions are what is tested', () => {
  assert.ok(sodium);
  assert.notEqual(fast.sign, original.sign);
  assert.equal(plain.sign, original.sign);
  assert.notEqual(plain.verify, original.verify);
});

test('key pairs of each side agree with those of the other', () => {
  for (let round = 0; round < ROUNDS; round++) {
    const ours = fast.generateKeyPair();
    const theirs = original.generateKeyPair();
    assert.deepEqual(fast.sharedKey(ours.private, theirs.public), original.sharedKey(theirs.private, ours.public));
    assert.deepEqual(original.sharedKey(ours.private, theirs.public), fast.sharedKey(theirs.private, ours.public));
    assert.equal(ours.private.length, 32);
    assert.equal(ours.private[0] & 7, 0);
    assert.equal(ours.private[31] & 0xc0, 0x40);
    assert.ok(Buffer.isBuffer(ours.private) && Buffer.isBuffer(ours.public));
  }
});

test('agreement takes any 32 bytes as the original does', () => {
  for (let round = 0; round < ROUNDS; round++) {
    const [scalar, point] = [randomBytes(32), randomBytes(32)];
    assert.deepEqual(fast.sharedKey(scalar, point), original.sharedKey(scalar, point));
    const prefixed = Buffer.concat([Buffer.from([5]), point]);
    assert.deepEqual(fast.sharedKey(scalar, prefixed), original.sharedKey(scalar, prefixed));
  }
});

test('signatures of each side verify at the other', () => {
  for (let round = 0; round < ROUNDS; round++) {
    const key = round % 2 ? fast.generateKeyPair() : original.generateKeyPair();
    const message = randomBytes(randomInt(1, 300));
    for (const signature of [fast.sign(key.private, message), original.sign(key.private, message)]) {
      assert.equal(signature.length, 64);
      assert.ok(trueVerify(key.public, message, signature));
      assert.equal(fast.verify(key.public, message, signature), true);
      assert.equal(fast.verify(Buffer.concat([Buffer.from([5]), key.public]), message, signature), true);
    }
  }
});

test('an unclamped private key signs as the original does', () => {
  for (let round = 0; round < ROUNDS; round++) {
    const secret = randomBytes(32);
    const copy = Buffer.from(secret);
    const publicKey = libsignal.getPublicFromPrivateKey(secret).subarray(1);
    const clamped = Buffer.from(secret);
    clamped[0] &= 248;
    clamped[31] = (clamped[31] & 127) | 64;
    const signature = fast.sign(secret, Buffer.from('message'));
    assert.deepEqual(secret, copy, 'the key must not be changed');
    const own = { public: Buffer.alloc(32) };
    sodium.crypto_scalarmult_base(own.public, clamped);
    assert.ok(trueVerify(own.public, Buffer.from('message'), signature));
    assert.equal(publicKey.length, 32);
  }
});

test('the verdict on damaged signatures is the true one, bit for bit', () => {
  for (let round = 0; round < ROUNDS; round++) {
    const key = original.generateKeyPair();
    const message = randomBytes(40);
    const signature = original.sign(key.private, message);
    const damaged = Buffer.from(signature);
    damaged[randomInt(64)] ^= 1 << randomInt(8);
    assert.equal(trueVerify(key.public, message, damaged), false);
    assert.equal(fast.verify(key.public, message, damaged), false);
    const other = Buffer.from(message);
    other[randomInt(40)] ^= 1 << randomInt(8);
    assert.equal(fast.verify(key.public, other, signature), false);
    assert.equal(fast.verify(original.generateKeyPair().public, message, signature), false);
    assert.equal(fast.verify(key.public, message, randomBytes(64)), false);
  }
});

test('Baileys alone accepts a forged signature; this is what hardening is for', () => {
  const key = original.generateKeyPair();
  assert.equal(original.verify(key.public, Buffer.from('message'), randomBytes(64)), true);
  assert.equal(plain.verify(key.public, Buffer.from('message'), randomBytes(64)), false);
});

test('malformed arguments: verify says no, the others throw', () => {
  const key = original.generateKeyPair();
  const message = Buffer.from('message');
  const signature = original.sign(key.private, message);
  const prefixed = first => Buffer.concat([Buffer.from([first]), key.public]);
  const badPublic = [Buffer.alloc(0), Buffer.alloc(31), Buffer.alloc(34), prefixed(6), undefined, null, 'text'];
  for (const bad of badPublic) {
    assert.equal(fast.verify(bad, message, signature), false);
    assert.throws(() => fast.sharedKey(key.private, bad));
  }
  for (const bad of [Buffer.alloc(0), Buffer.alloc(31), Buffer.alloc(33), undefined, null, 'text']) {
    assert.throws(() => fast.sharedKey(bad, key.public));
    assert.throws(() => fast.sign(bad, message));
    assert.throws(() => original.sign(bad, message));
  }
  for (const bad of [Buffer.alloc(0), Buffer.alloc(63), Buffer.alloc(65), undefined, null, 'text']) {
    assert.equal(fast.verify(key.public, message, bad), false);
  }
  for (const bad of [undefined, null, 'text']) {
    assert.equal(fast.verify(key.public, bad, signature), false);
    assert.throws(() => fast.sign(key.private, bad));
  }
});

test('points of small order give no agreement and no signature', () => {
  const key = original.generateKeyPair();
  const one = Buffer.alloc(32);
  one[0] = 1;
  const minusOne = Buffer.from(`ec${'ff'.repeat(30)}7f`, 'hex');
  for (const point of [Buffer.alloc(32), one, minusOne]) {
    assert.throws(() => fast.sharedKey(key.private, point));
    assert.throws(() => original.sharedKey(key.private, point));
    assert.equal(fast.verify(point, Buffer.from('message'), randomBytes(64)), false);
  }
});

test('no two key pairs or nonces are the same', () => {
  const seen = new Set();
  const key = fast.generateKeyPair();
  for (let round = 0; round < ROUNDS; round++) {
    seen.add(fast.generateKeyPair().private.toString('hex'));
    seen.add(fast.sign(key.private, Buffer.from([round])).subarray(0, 32).toString('hex'));
  }
  assert.equal(seen.size, 2 * ROUNDS);
});
