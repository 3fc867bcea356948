import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';

import { startBridge } from './driver.js';

const address = { session: 'default', epoch: 1, socket: 1 };
let bridge;

before(async () => {
  bridge = await startBridge();
});

after(() => bridge.end());

test('says hello first', () => {
  const { version } = createRequire(import.meta.url)('baileys/package.json');
  assert.deepEqual(bridge.hello, { event: 'hello', protocol: 1, baileys: version, node: process.version, pid: bridge.pid });
});

test('answers ping', async () => {
  const { ok, sockets, rss } = await bridge.request('ping');
  assert.equal(ok, true);
  assert.equal(sockets, 0);
  assert.ok(rss > 20_000_000 && rss < 1_000_000_000);
});

test('lines that are no messages are skipped, each with a warning', async () => {
  const logged = bridge.stderr.split('\n').length;
  for (const line of ['garbage', '{"id":', '[]', '7', 'null', '{}', '', '\u0000', '{"op":"ping"}']) bridge.raw(`${line}\n`);
  bridge.raw(`${JSON.stringify({ id: 'b77', ok: true })}\n`); // an answer that nobody waits for
  assert.equal((await bridge.request('ping')).ok, true);
  // Logs come by another pipe than answers.
  while (bridge.stderr.split('\n').length - logged < 9) await new Promise(resolve => bridge.child.stderr.once('data', resolve));
  assert.equal(bridge.stderr.split('\n').length - logged, 9);
  assert.ok(!bridge.stderr.includes('garbage'), 'the text of a line may be a secret');
});

test('a line above the cap is skipped', async () => {
  bridge.raw(`{"id":1,"op":"ping","filler":"${'x'.repeat(17 * 1024 * 1024)}"}\n`);
  assert.equal((await bridge.request('ping')).ok, true);
  while (!bridge.stderr.includes('too long')) await new Promise(resolve => bridge.child.stderr.once('data', resolve));
});

test('refuses what it does not know', async () => {
  assert.deepEqual({ ...(await bridge.request('dance')), id: 0 }, { id: 0, ok: false, error: 'unknown op: dance' });
  assert.equal((await bridge.request('constructor')).ok, false);
  assert.equal((await bridge.request('__proto__')).ok, false);
});

test('refuses to open without a proper address', async () => {
  for (const wrong of [{ session: 7 }, { epoch: '1' }, { socket: null }, { creds: 7 }, { creds: undefined }]) {
    const { ok, error } = await bridge.request('open', { ...address, creds: null, ...wrong });
    assert.equal(ok, false);
    assert.match(error, /must be/);
  }
  assert.equal((await bridge.request('ping')).sockets, 0);
});

test('a socket that it does not know is closed already', async () => {
  assert.equal((await bridge.request('close', address)).ok, true);
  assert.deepEqual({ ...(await bridge.request('logout', address)), id: 0 }, { id: 0, ok: true, sent: false });
  assert.equal((await bridge.request('pairing-code', { ...address, phone: '491701234567' })).ok, false);
});

test('ends when its input closes', async () => {
  const other = await startBridge();
  assert.equal(await other.end(), 0);
});

test('settings that cannot be used end it with 2, and are named', async () => {
  const wrong = {
    WHATSAPP_URL: ['nonsense', 'https://web.whatsapp.com'],
    WHATSAPP_VERSION: ['2', '2.3000.x'],
    QR_LIFETIME_MS: ['0', '-1', 'soon', '1.5'],
    KEEP_ALIVE_MS: ['0'],
    WHATSAPP_ROOT_KEY: ['00'.repeat(32), 'zz'],
  };
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) {
      const refused = await startBridge({ [name]: value });
      assert.equal(await refused.exited, 2);
      assert.match(refused.stderr, new RegExp(name));
    }
  }
});

test('a foreign trust root is for loopback only', async () => {
  const WHATSAPP_ROOT_KEY = '00'.repeat(32);
  for (const host of ['web.whatsapp.com', '10.0.0.1', '127.0.0.1.example.com', '127.1.example', '[::2]', '0.0.0.0']) {
    const refused = await startBridge({ WHATSAPP_URL: `ws://${host}/`, WHATSAPP_ROOT_KEY });
    assert.equal(await refused.exited, 2);
    assert.match(refused.stderr, /loopback/);
  }
  for (const host of ['127.0.0.1', 'localhost:1234', '[::1]:1234']) {
    const taken = await startBridge({ WHATSAPP_URL: `ws://${host}/`, WHATSAPP_ROOT_KEY });
    assert.equal(taken.hello?.protocol, 1);
    assert.equal(await taken.end(), 0);
  }
});
