import assert from 'node:assert/strict';
import { test } from 'node:test';

import { BufferJSON, initAuthCreds, proto } from 'baileys';

import { Auth, decode, encode, fieldName } from '../src/auth.js';

const linkedCreds = () => ({ ...initAuthCreds(), account: { details: Buffer.from('d') }, me: { id: '1:1@s.whatsapp.net' } });

/** An `Auth` over a store in memory that counts its calls. */
function make(creds, { fail } = {}) {
  const store = new Map();
  const calls = [];
  const lost = [];
  const auth = new Auth(creds && encode(creds), {
    async get(fields) {
      calls.push(['get', fields]);
      return Object.fromEntries(fields.filter(name => store.has(name)).map(name => [name, store.get(name)]));
    },
    async set(values) {
      calls.push(['set', values]);
      if (fail?.()) throw new Error('disk full');
      for (const [name, text] of Object.entries(values)) text === null ? store.delete(name) : store.set(name, text);
    },
    onCredsLost: error => lost.push(error.message),
  });
  return { auth, keys: auth.state.keys, store, calls, lost };
}

test('field names are those of baileys-redis-auth', () => {
  assert.equal(fieldName('pre-key', '12'), 'pre-key-12');
  assert.equal(fieldName('session', '49170:3.0'), 'session-49170-3.0');
  assert.equal(fieldName('sender-key', '123-456@g.us::49170::0'), 'sender-key-123-456@g.us--49170--0');
  assert.equal(fieldName('app-state-sync-key', 'AAAA/b/c='), 'app-state-sync-key-AAAA__b__c=');
});

test('values are the bytes that the library stores, and come back as they were', () => {
  const value = { key: Buffer.from([0, 255, 1]), nested: [new Uint8Array([7])], text: 'x', none: null };
  assert.equal(encode(value), JSON.stringify(value, BufferJSON.replacer));
  assert.equal(encode(value), '{"key":{"type":"Buffer","data":"AP8B"},"nested":[{"type":"Buffer","data":"Bw=="}],"text":"x","none":null}');
  assert.deepEqual(decode(encode(value)), { ...value, nested: [Buffer.from([7])] });
});

test('key pairs, of buffers, of views and with more to them, are stored as the library stores them', () => {
  const whole = new Uint8Array([1, 2, 3, 4, 5]);
  const pairs = [
    { public: Buffer.from('a public key'), private: Buffer.from('a private key') },
    { private: whole.subarray(1, 3), public: whole },
    { public: whole, private: Buffer.alloc(0) },
    { public: whole, private: whole, keyId: 1, signature: whole },
    { public: whole, private: 'text' },
  ];
  for (const pair of pairs) assert.equal(encode(pair), JSON.stringify(pair, BufferJSON.replacer));
});

test('what changes in one tick is one write, credentials included', async () => {
  const { auth, keys, calls } = make(linkedCreds());
  auth.touch();
  auth.creds.nextPreKeyId = 813;
  await Promise.all([keys.set({ 'pre-key': { 1: { a: 1 }, 2: { a: 2 } } }), keys.set({ session: { 'a:1': { b: 1 }, gone: null } })]);
  assert.equal(calls.length, 1);
  const [, values] = calls[0];
  assert.deepEqual(Object.keys(values).sort(), ['creds', 'pre-key-1', 'pre-key-2', 'session-a-1', 'session-gone']);
  assert.equal(values['session-gone'], null);
  assert.equal(decode(values.creds).nextPreKeyId, 813);
});

test('a read sees the write before it', async () => {
  const { keys, calls } = make(linkedCreds());
  const writing = keys.set({ session: { x: { v: 1 }, y: { v: 2 } } });
  assert.deepEqual(await keys.get('session', ['x', 'z']), { x: { v: 1 } });
  await writing;
  assert.deepEqual(calls.map(([op]) => op), ['set', 'get']);
});

test('app state sync keys come back as protobuf messages', async () => {
  const { keys } = make(linkedCreds());
  await keys.set({ 'app-state-sync-key': { k: proto.Message.AppStateSyncKeyData.fromObject({ keyData: Buffer.from('data') }) } });
  const { k } = await keys.get('app-state-sync-key', ['k']);
  assert.ok(k instanceof proto.Message.AppStateSyncKeyData);
  assert.deepEqual(Buffer.from(k.keyData), Buffer.from('data'));
});

test('before the link nothing is read and no credentials are written', async () => {
  const { auth, keys, calls } = make(null);
  auth.touch();
  auth.flush();
  assert.deepEqual(await keys.get('session', ['x']), {});
  assert.equal(auth.linked, false);
  assert.deepEqual(calls, []);
});

test('what a pairing code that nobody typed left behind is dropped', () => {
  const { auth } = make({ ...initAuthCreds(), me: { id: '49170@s.whatsapp.net', name: '~' } });
  assert.equal(auth.creds.me, undefined);
});

test('after the end reads find nothing and writes go nowhere; what waited was sent', async () => {
  const { auth, keys, calls } = make(linkedCreds());
  auth.touch();
  auth.end();
  auth.touch();
  await keys.set({ session: { x: { v: 1 } } });
  assert.deepEqual(await keys.get('session', ['x']), {});
  await new Promise(setImmediate);
  assert.equal(calls.length, 1);
  assert.deepEqual(Object.keys(calls[0][1]), ['creds']);
});

test('a failed write rejects for who waits; credentials that were in it are reported', async () => {
  let broken = true;
  const { auth, keys, lost } = make(linkedCreds(), { fail: () => broken });
  await assert.rejects(keys.set({ session: { x: { v: 1 } } }), /disk full/);
  assert.deepEqual(lost, []);
  auth.touch();
  auth.flush();
  await new Promise(setImmediate);
  assert.deepEqual(lost, ['disk full']);
  broken = false;
  await keys.set({ session: { x: { v: 1 } } });
});

test('credentials that cannot be read are refused', () => {
  for (const text of ['', 'x', 'null', '7', '{}', '{"noiseKey":{}}']) assert.throws(() => new Auth(text, {}), SyntaxError);
});
