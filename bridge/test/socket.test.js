import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { after, before, beforeEach, test } from 'node:test';

import { startSimulator } from '@relink/simulator';

import { decode } from '../src/auth.js';
import { startBridge } from './driver.js';

const FAULT = fileURLToPath(new URL('./fault.js', import.meta.url));

let simulator;
let bridge;
let lastSocket = 0;
const session = () => `s${++lastSocket}`;

before(async () => {
  simulator = await startSimulator();
  bridge = await startBridge({ ...simulator.settings, DEVICE_NAME: 'Our shop', LOG_LEVEL: 'DEBUG' });
});

after(async () => {
  await bridge.end();
  await simulator.close();
});

beforeEach(() => {
  simulator.reset();
  bridge.messages = [];
  bridge.requests = [];
  bridge.answer = () => undefined;
});

const at = (name, socket) => ({ session: name, epoch: 1, socket });

/** Until the bridge holds so many sockets; a test's own timeout bounds it. */
async function until(driver, count) {
  while ((await driver.request('ping')).sockets !== count) await new Promise(setImmediate);
}

async function logIn(name, socket, driver = bridge) {
  await driver.open(name, socket, driver.creds(name));
  return driver.next('open', socket);
}

test('a link: code, scan, credentials before the news, 515, login', async () => {
  const name = session();
  await bridge.open(name, 1);
  const qr = await bridge.next('qr', 1);
  assert.deepEqual([qr.session, qr.epoch, qr.number, qr.limit, qr.ttl_ms], [name, 1, 1, 6, 60_000]);
  let stored = false;
  bridge.answer = ({ op, values }) => {
    stored ||= op === 'keys-set' && Boolean(decode(values.creds).account);
  };
  const device = await simulator.scan(qr.text);
  const paired = await bridge.next('paired', 1);
  assert.ok(stored);
  assert.equal(paired.jid, device.jid);
  assert.equal(paired.platform, 'android');
  const closed = await bridge.next('closed', 1);
  assert.deepEqual([closed.code, closed.message], [515, 'Stream Errored (restart required)']);
  assert.equal((await logIn(name, 2)).jid, device.jid);
  assert.equal(device.name, 'Our shop', 'what the phone shows');
  await bridge.request('close', at(name, 2));
});

test('the pre-keys of a link are one write, together with the credentials that count them', async () => {
  const name = session();
  await bridge.link(name, 3, simulator);
  bridge.requests = [];
  await logIn(name, 4);
  const uploads = bridge.requests.filter(({ op, values }) => op === 'keys-set' && values['pre-key-1']);
  assert.equal(uploads.length, 1);
  assert.equal(Object.keys(uploads[0].values).length, 813);
  assert.equal(decode(uploads[0].values.creds).nextPreKeyId, 813);
  await bridge.request('close', at(name, 4));
});

test('a stale answer drops the socket without a word', async () => {
  const name = session();
  await bridge.link(name, 5, simulator);
  bridge.answer = () => ({ ok: false, error: 'stale' });
  await bridge.open(name, 6, bridge.creds(name));
  await until(bridge, 0);
  assert.deepEqual(bridge.messages.filter(({ socket }) => socket === 6), []);
});

test('answers may take their time, and other sockets do not wait for them', async () => {
  const [slow, quick] = [session(), session()];
  let release;
  const released = new Promise(resolve => {
    release = resolve;
  });
  await bridge.open(slow, 7);
  const { text } = await bridge.next('qr', 7);
  bridge.answer = async message => {
    if (message.session === slow) await released;
  };
  const scanning = simulator.scan(text);
  await bridge.link(quick, 8, simulator);
  await logIn(quick, 9);
  await bridge.request('close', at(quick, 9));
  release();
  await scanning;
});

test('close after open, before anything was done', async () => {
  const name = session();
  const opening = bridge.request('open', { ...at(name, 10), creds: null });
  const closing = bridge.request('close', at(name, 10));
  assert.equal((await opening).ok, true);
  assert.equal((await closing).ok, true);
  assert.equal((await bridge.request('ping')).sockets, 0);
  assert.deepEqual(bridge.messages, []);
});

test('a socket number cannot be used twice', async () => {
  const name = session();
  await bridge.open(name, 11);
  await assert.rejects(bridge.open(name, 11), /twice/);
  await bridge.next('qr', 11);
  await bridge.request('close', at(name, 11));
});

test('nothing secret is logged, even at debug level', async () => {
  const name = session();
  await bridge.link(name, 12, simulator);
  await logIn(name, 13);
  simulator.command('logout');
  await bridge.next('closed', 13);
  const creds = decode(bridge.creds(name));
  const secrets = [creds.noiseKey.private, creds.signedIdentityKey.private, creds.signedPreKey.keyPair.private];
  for (const secret of [...secrets.map(key => key.toString('base64')), creds.advSecretKey, 'wa.me/settings']) {
    assert.ok(!bridge.stderr.includes(secret));
  }
  assert.match(bridge.stderr, /"msg":"baileys: stream errored out"/, 'something was logged');
});

test('an uncaught error ends the socket that it belongs to, and no other', async t => {
  const faulty = await startBridge(simulator.settings, { args: ['--import', FAULT] });
  t.after(() => faulty.end());
  await faulty.open('good', 1);
  await faulty.next('qr', 1);
  await faulty.open('bad', 2); // fault.js throws in the second socket
  const closed = await faulty.next('closed', 2);
  assert.equal(closed.code, null);
  assert.match(closed.message, /internal error: Error: a bug/);
  assert.deepEqual(faulty.messages.filter(({ socket }) => socket === 1), []);
  await until(faulty, 1);
});

test('input closes while sockets are open and WhatsApp is silent: the end is near', async () => {
  const other = await startBridge(simulator.settings);
  await other.open('default', 1);
  await other.next('qr', 1);
  simulator.disturb('silence');
  const began = Date.now();
  assert.equal(await other.end(), 0);
  assert.ok(Date.now() - began < 3_500);
});
