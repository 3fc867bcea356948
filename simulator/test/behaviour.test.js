import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, beforeEach, test } from 'node:test';
import { startSimulator } from '@relink/simulator';
import { WebSocket } from 'ws';
import { Client, event } from './client.js';

const simulator = await startSimulator();
beforeEach(() => simulator.reset());
after(() => simulator.close());

test('login refused a few times, then accepted', async () => {
  const client = new Client(simulator);
  await client.link();
  simulator.behaviour({ login: { answer: 503, times: 2 } });
  assert.equal((await client.open().closed()).code, 503);
  assert.deepEqual(simulator.behaviour().login, { answer: 503, times: 1 });
  assert.equal((await client.open().closed()).code, 503);
  assert.deepEqual(simulator.behaviour().login, { answer: 'accept', times: null });
  await client.open().opened();
  assert.equal(simulator.counters().totals.login_refusals, 2);
});

for (const code of [401, 403, 405, 500, 503]) {
  test(`login refused with ${code}, until it is set back`, async () => {
    const client = new Client(simulator);
    await client.link();
    simulator.behaviour({ login: code });
    assert.equal((await client.open().closed()).code, code);
    assert.equal((await client.open().closed()).code, code);
    simulator.behaviour({ login: 'accept' });
    await client.open().opened();
  });
}

test('one phone refuses, another does not', async () => {
  const { phone } = simulator.addPhone();
  const [here, there] = [new Client(simulator), new Client(simulator)];
  await here.link();
  await there.link({ phone });
  simulator.behaviour({ login: { answer: 503, times: 1 } }, { phone });
  await here.open().opened();
  assert.equal((await there.open().closed()).code, 503);
  await there.open().opened();
});

test('registration refused with 405: the client is outdated', async () => {
  simulator.behaviour({ register: { answer: 405, times: 1 } });
  const client = new Client(simulator);
  assert.deepEqual(await client.open().closed(), { code: 405, message: 'Connection Failure' });
  await client.open().qr();
  const { totals } = simulator.counters();
  assert.deepEqual([totals.registration_refusals, totals.registrations], [1, 1]);
});

test('as many refs as asked for, then the client gives up with 408', async () => {
  simulator.behaviour({ refs: 3 });
  const client = new Client(simulator, { qrTimeout: 20 });
  assert.deepEqual(await client.open().closed(), { code: 408, message: 'QR refs attempts ended' });
  assert.equal(new Set(client.qrs).size, 3);
});

test('no QR code is ever offered', async () => {
  simulator.behaviour({ no_qr: true });
  const client = new Client(simulator);
  client.open();
  const { socket } = await event(simulator, 'registration');
  const { events } = await simulator.events({ type: 'refs', waitMs: 100 });
  assert.deepEqual(events, []);
  assert.deepEqual(
    simulator.sockets().map(({ id, state }) => [id, state]),
    [[socket, 'linking']],
  );
  assert.deepEqual(client.qrs, []);
});

test('handshake: silent leaves the client waiting, and does not answer its goodbye either', async () => {
  simulator.behaviour({ handshake: 'silent' });
  const client = new Client(simulator, { connectTimeoutMs: 50 });
  client.open();
  const { n, socket } = await event(simulator, 'silence');
  const { events } = await simulator.events({ after: n, waitMs: 200 });
  assert.deepEqual(events, []);
  assert.ok(client.socket.ws.isClosing, 'the client gave up');
  assert.deepEqual(
    simulator.sockets().map(({ id, state, silent }) => [id, state, silent]),
    [[socket, 'handshake', true]],
  );
  simulator.disturb('cut');
  assert.equal((await client.closed()).code, 408);
});

test('handshake: silent, then resumed', async () => {
  simulator.behaviour({ handshake: 'silent' });
  const client = new Client(simulator);
  client.open();
  await event(simulator, 'silence');
  simulator.disturb('resume');
  await client.qr();
});

test('handshake: refuse hangs up before the WebSocket is open', async () => {
  simulator.behaviour({ handshake: 'refuse' });
  assert.equal((await new Client(simulator).open().closed()).code, 408);
  assert.equal((await event(simulator, 'upgrade_refused')).detail, 'refuse');
});

test('handshake: an HTTP status instead of a WebSocket', async () => {
  simulator.behaviour({ handshake: 503 });
  const socket = new WebSocket(simulator.url);
  const [error] = await once(socket, 'error');
  assert.equal(error.message, 'Unexpected server response: 503');
  assert.equal(simulator.counters().totals.upgrade_refusals, 1);
});

test('every answer late, in order', async () => {
  simulator.behaviour({ answer_delay_ms: 30 });
  const client = new Client(simulator);
  const started = performance.now();
  await client.connect();
  // hello, refs, pair-success, 515; hello, success, and four answers one after the other
  assert.ok(performance.now() - started > 10 * 30);
});

test('the pre-key upload answered late, and nothing else', async () => {
  simulator.behaviour({ prekey_delay_ms: 400 }, { phone: 'default' });
  const client = new Client(simulator);
  await client.link();
  client.open();
  const { n, at } = await event(simulator, 'prekey_upload');
  const ping = {
    tag: 'iq',
    attrs: { to: '@s.whatsapp.net', type: 'get', xmlns: 'w:p' },
    content: [{ tag: 'ping', attrs: {} }],
  };
  await client.socket.query(ping);
  const pinged = await event(simulator, 'ping', { after: n });
  const active = await event(simulator, 'active', { after: pinged.n });
  assert.ok(Date.parse(active.at) - Date.parse(at) >= 390);
  await client.opened();
});

test('settings are checked as a whole before any is set', () => {
  const before = simulator.behaviour();
  for (const [changes, message] of [
    [{ refs: 2, login: 'maybe' }, /^login: /],
    [{ refs: 0 }, /^refs: a whole number from 1 to 20/],
    [{ refs: '6' }, /^refs/],
    [{ no_qr: 'yes' }, /^no_qr: true or false/],
    [{ ref_lifetime_ms: { first: 1 } }, /^ref_lifetime_ms.next/],
    [{ ref_lifetime_ms: { first: 1, next: 1, last: 1 } }, /last is not a setting/],
    [{ login: { answer: 503, times: 0 } }, /^login.times/],
    [{ login: 200 }, /^login.answer/],
    [{ handshake: 'maybe' }, /^handshake: /],
    [{ handshake: 302 }, /^handshake: /],
    [{ answer_delay_ms: -1 }, /^answer_delay_ms/],
    [{ speed: 9 }, /speed is not a setting\. Known: handshake, /],
  ]) {
    assert.throws(
      () => simulator.behaviour(changes),
      error => error.status === 422 && message.test(error.message),
      JSON.stringify(changes),
    );
  }
  assert.deepEqual(simulator.behaviour(), before);
});

test('a phone has only the settings that concern one phone', () => {
  assert.throws(
    () => simulator.behaviour({ refs: 2 }, { phone: 'default' }),
    /refs is not a setting\. Known: passkey, login/,
  );
  assert.deepEqual(simulator.behaviour({ login: 503 }, { phone: 'default' }), { login: { answer: 503, times: null } });
  assert.deepEqual(simulator.behaviour({ login: null }, { phone: 'default' }), {});
});
