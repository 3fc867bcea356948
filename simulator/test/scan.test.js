import assert from 'node:assert/strict';
import { after, beforeEach, test } from 'node:test';
import { startSimulator } from '@relink/simulator';
import { Client, event, history } from './client.js';

const simulator = await startSimulator();
beforeEach(() => simulator.reset());
after(() => simulator.close());

const refused = (promise, status, detail) =>
  assert.rejects(
    promise,
    error => (assert.equal(error.status, status, error.message), assert.match(error.message, detail), true),
  );

test('a text that is no QR code: 422', async () => {
  for (const text of [undefined, '', 7, 'hello', '2@a,b,c,d', 'https://example.com/'])
    await refused(simulator.scan(text), 422, /^qr: /);
});

test('the older form of the text, without the link before it, is a QR code too', async () => {
  const qr = await new Client(simulator).open().qr();
  await simulator.scan(qr.slice(qr.indexOf('#') + 1));
});

test('a ref that was never issued: 404', async () => {
  const qr = await new Client(simulator).open().qr();
  await refused(simulator.scan(qr.replace('#2@', '#2@x')), 404, /not issued by this simulator/);
});

test('a phone that does not exist: 404', async () => {
  const qr = await new Client(simulator).open().qr();
  await refused(simulator.scan(qr, { phone: '4999999999' }), 404, /no phone 4999999999/);
});

test('a code that was used: 409, and the device stays', async () => {
  const client = new Client(simulator);
  const qr = await client.open().qr();
  await simulator.scan(qr);
  await refused(simulator.scan(qr), 409, /used already/);
  await client.closed();
  await refused(simulator.scan(qr), 409, /used already/);
  assert.equal(simulator.phones()[0].devices.length, 1);
});

test('a code of a client that has gone: 410', async () => {
  const client = new Client(simulator);
  const qr = await client.open().qr();
  await client.socket.end();
  await event(simulator, 'close');
  await refused(simulator.scan(qr), 410, /client that showed this QR code is gone/);
});

test('an expired code: 410, the next one of the same client: fine', async () => {
  simulator.behaviour({ ref_lifetime_ms: { first: 0, next: 60_000 } });
  const client = new Client(simulator, { qrTimeout: 20 });
  client.open();
  const [first, second] = [await client.qr(1), await client.qr(2)];
  await refused(simulator.scan(first), 410, /expired .* s ago/);
  await simulator.scan(second);
});

test('keys in the text that are not those of the client: 409', async () => {
  const [mine, other] = await Promise.all([new Client(simulator).open().qr(), new Client(simulator).open().qr()]);
  const mixed = [mine.split(',')[0], ...other.split(',').slice(1)].join(',');
  await refused(simulator.scan(mixed), 409, /keys in this QR text/);
});

test('a wrong secret in the text: the client breaks off, 504, and nothing is linked', async () => {
  const [mine, other] = await Promise.all([new Client(simulator).open().qr(), new Client(simulator).open().qr()]);
  const parts = mine.split(',');
  parts[3] = other.split(',')[3];
  await refused(simulator.scan(parts.join(',')), 504, /went away before it agreed/);
  assert.deepEqual(simulator.phones()[0].devices, []);
});

test('a client that does not answer in time: 504; when it does later, it is linked', async () => {
  const client = new Client(simulator);
  const qr = await client.open().qr();
  const [{ id }] = simulator.sockets();
  simulator.disturb('silence', { socket: id });
  await refused(simulator.scan(qr, { timeoutMs: 30 }), 504, /did not answer within 0.03 s/);
  simulator.disturb('resume');
  await event(simulator, 'paired');
  assert.equal((await client.closed()).code, 515);
  await client.open().opened();
});

test('two phones scan one code: the first one wins', async () => {
  const { phone } = simulator.addPhone();
  const client = new Client(simulator);
  const qr = await client.open().qr();
  const [first, second] = await Promise.allSettled([simulator.scan(qr), simulator.scan(qr, { phone })]);
  assert.equal(first.status, 'fulfilled');
  assert.equal(second.reason.status, 409);
  assert.match(second.reason.message, /by phone 15550001001/);
  assert.deepEqual(
    simulator.phones().map(({ devices }) => devices.length),
    [1, 0],
  );
});

test('two phones scan one code, first_scan_wins off: the second one wins', async () => {
  const { phone } = simulator.addPhone();
  simulator.behaviour({ first_scan_wins: false });
  const client = new Client(simulator);
  const qr = await client.open().qr();
  const scans = [simulator.scan(qr), simulator.scan(qr, { phone })];
  await refused(scans[0], 409, /scanned the same code/);
  const device = await scans[1];
  assert.equal((await client.closed()).code, 515);
  await client.open().opened();
  assert.equal(client.creds.me.id, device.jid);
});

test('a passkey is demanded: the client hears of it, nothing is linked, the scan says why', async () => {
  const client = new Client(simulator);
  const qr = await client.open().qr();
  const heard = new Promise(resolve => client.socket.ws.once('CB:notification,type:passkey_prologue_request', resolve));
  simulator.behaviour({ passkey: true }, { phone: 'default' });
  await refused(simulator.scan(qr), 409, /passkey/);
  assert.equal((await heard).attrs.type, 'passkey_prologue_request');
  assert.equal(simulator.counters().totals.passkey_requests, 1);
  simulator.behaviour({ passkey: null }, { phone: 'default' });
  await simulator.scan(qr);
});

test('a banned phone links nothing: 403', async () => {
  simulator.command('ban');
  const qr = await new Client(simulator).open().qr();
  await refused(simulator.scan(qr), 403, /banned/);
  simulator.command('unban');
  await simulator.scan(qr);
});

test('a phone that is deleted loses its devices', async () => {
  const { phone } = simulator.addPhone({ phone: '+49 170 1234567' });
  assert.equal(phone, '491701234567');
  const client = new Client(simulator);
  await client.connect({ phone });
  simulator.deletePhone(phone);
  assert.equal((await client.closed()).code, 401);
  assert.deepEqual(
    simulator.phones().map(known => known.phone),
    ['15550001001'],
  );
});

for (const [moment, code, uploads] of [
  ['paired', 401, 0],
  ['login', 401, 0],
  ['prekey_count', 401, 0],
  ['prekey_upload', 401, 1],
  ['active', 401, 1],
]) {
  test(`the phone logs out at ${moment}: before the connection is open`, async () => {
    const client = new Client(simulator);
    const { jid } = await client.link({ then: { on: moment, do: 'logout' } });
    assert.equal((await client.open().closed()).code, code);
    assert.equal(client.isOpen, false);
    assert.equal((await event(simulator, 'removed')).jid, jid);
    assert.equal(simulator.counters().totals.prekey_uploads, uploads);
    assert.deepEqual(simulator.phones()[0].devices, []);
  });
}

test('a rule may wait, and acts once', async () => {
  const client = new Client(simulator);
  await client.link({ then: [{ on: 'login', do: 'close', code: 503, after_ms: 5 }] });
  assert.equal((await client.open().closed()).code, 503);
  await client.open().opened();
});

test('rules can be added to a linked device', async () => {
  const client = new Client(simulator);
  const { jid } = await client.link();
  assert.deepEqual(simulator.addRules({ on: 'login', do: 'ban' }), [jid]);
  assert.equal((await client.open().closed()).code, 403);
  assert.ok(simulator.phones()[0].banned);
});

test('a rule that makes no sense: 422, and the code is not used up', async () => {
  const qr = await new Client(simulator).open().qr();
  for (const then of [
    {},
    'logout',
    { on: 'login' },
    { on: 'never', do: 'logout' },
    { on: 'login', do: 'logout', after_ms: -1 },
    { on: 'login', do: 'logout', when: 1 },
  ]) {
    await refused(simulator.scan(qr, { then }), 422, /^then/);
  }
  assert.deepEqual(
    (await history(simulator)).filter(type => type === 'scan'),
    [],
  );
  await simulator.scan(qr);
});
