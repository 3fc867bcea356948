import assert from 'node:assert/strict';
import { after, beforeEach, test } from 'node:test';
import { startSimulator } from '@relink/simulator';
import { Client, event, history } from './client.js';

const simulator = await startSimulator();
beforeEach(() => simulator.reset());
after(() => simulator.close());

test('QR, scan, restart, login: linked and open', async () => {
  const client = new Client(simulator, { browser: ['Relink', 'Chrome', '1.0'] });
  const device = await simulator.scan(await client.open().qr());
  assert.deepEqual(await client.closed(), { code: 515, message: 'Stream Errored (restart required)' });
  await client.open().opened();
  assert.equal(client.creds.me.id, device.jid);
  assert.equal(client.creds.me.lid, device.lid);
  assert.equal(client.creds.platform, 'android');
  const [phone] = simulator.phones();
  assert.deepEqual(
    phone.devices.map(({ jid, name, platform, online, pre_keys: keys }) => ({ jid, name, platform, online, keys })),
    [{ jid: device.jid, name: 'Relink', platform: 'chrome', online: true, keys: 812 }],
  );
  await event(simulator, 'digest');
  const of = await history(simulator, { jid: device.jid });
  assert.deepEqual(
    of.filter(type => type !== 'close'),
    ['scan', 'paired', 'ended', 'login', 'prekey_count', 'prekey_upload', 'active', 'digest'],
  );
});

test('the QR text has what WhatsApp puts there', async () => {
  const qr = await new Client(simulator).open().qr();
  assert.match(qr, /^https:\/\/wa\.me\/settings\/linked_devices#2@[\w+/=]+(,[\w+/]{43}=){3},\d$/);
});

test('a named phone gives the client its name', async () => {
  const { phone } = simulator.addPhone({ name: 'Ada Shop', platform: 'smba' });
  const client = new Client(simulator);
  await client.link({ phone });
  assert.equal(client.creds.me.name, 'Ada Shop');
  assert.equal(client.creds.platform, 'smba');
});

test('a second connection uploads no pre-keys again', async () => {
  const client = new Client(simulator);
  await client.connect();
  await client.socket.end();
  await client.open().opened();
  const { totals } = simulator.counters();
  assert.deepEqual([totals.logins, totals.prekey_uploads, totals.max_sockets_per_device], [2, 1, 1]);
});

test('the phone logs the device out: 401 then, and 401 at each later login', async () => {
  const client = new Client(simulator);
  const { jid } = await client.connect();
  assert.deepEqual(simulator.command('logout'), [jid]);
  assert.equal((await client.closed()).code, 401);
  assert.deepEqual(await client.open().closed(), { code: 401, message: 'Connection Failure' });
  const { totals, devices } = simulator.counters();
  assert.deepEqual([totals.removals, totals.unlinks, totals.login_refusals], [1, 0, 1]);
  assert.equal(devices[jid].login_refusals, 1);
  assert.deepEqual(simulator.phones()[0].devices, []);
});

test("the client's own logout removes the device and is counted", async () => {
  const client = new Client(simulator);
  const { jid } = await client.connect();
  await client.socket.logout();
  const { detail } = await event(simulator, 'unlink', { jid });
  assert.equal(detail, 'user_initiated');
  assert.deepEqual(simulator.phones()[0].devices, []);
  assert.equal(simulator.counters().devices[jid].unlinks, 1);
  assert.equal((await client.open().closed()).code, 401);
});

test('a device cannot remove another one', async () => {
  const first = new Client(simulator);
  const second = new Client(simulator);
  const { jid } = await first.connect();
  await second.connect();
  const request = {
    tag: 'iq',
    attrs: { to: '@s.whatsapp.net', type: 'set', xmlns: 'md' },
    content: [{ tag: 'remove-companion-device', attrs: { jid } }],
  };
  await assert.rejects(second.socket.query(request), /not-allowed/);
  assert.equal(simulator.phones()[0].devices.length, 2);
});

test('a second login of the same device replaces the first', async () => {
  const client = new Client(simulator);
  const { jid } = await client.connect();
  const twin = new Client(simulator);
  Object.assign(twin, { creds: { ...client.creds }, store: client.store });
  await twin.open().opened();
  assert.deepEqual(await client.closed(), { code: 440, message: 'Stream Errored (conflict)' });
  const { devices, totals } = simulator.counters();
  assert.deepEqual(
    [devices[jid].replaced, devices[jid].max_sockets, devices[jid].sockets_open, totals.max_sockets_per_device],
    [1, 2, 1, 2],
  );
});

test('a login with another key than the one seen at pairing is refused', async () => {
  const client = new Client(simulator);
  await client.link();
  client.creds.noiseKey = new Client(simulator).creds.noiseKey;
  assert.equal((await client.open().closed()).code, 401);
});

test('a login of a phone that is not there is refused', async () => {
  const client = new Client(simulator);
  await client.link();
  client.creds.me.id = '4915112345678:3@s.whatsapp.net';
  assert.equal((await client.open().closed()).code, 401);
  assert.equal((await event(simulator, 'login_refused')).jid, '4915112345678:3@s.whatsapp.net');
});

test('a client with routing information, and so another intro, is let in', async () => {
  const client = new Client(simulator);
  await client.link();
  client.creds.routingInfo = Buffer.from([8, 7, 8, 5]);
  await client.open().opened();
});

test('keep-alive is answered', async () => {
  const client = new Client(simulator, { keepAliveIntervalMs: 50 });
  await client.connect();
  const first = await event(simulator, 'ping');
  await event(simulator, 'ping', { after: first.n });
  assert.ok(client.socket.ws.isOpen);
});

test('a client that does not hold our root key refuses us', async () => {
  const client = new Client({ url: simulator.url, rootKey: '00'.repeat(32) });
  assert.deepEqual(await client.open().closed(), {
    code: 400,
    message: 'noise intermediate certificate signature invalid',
  });
  await event(simulator, 'close');
  assert.equal(simulator.counters().totals.registrations, 0);
});

test('many clients link at once, on one phone', async () => {
  const clients = Array.from({ length: 5 }, () => new Client(simulator));
  const devices = await Promise.all(clients.map(client => client.connect()));
  assert.equal(new Set(devices.map(({ jid }) => jid)).size, 5);
  const { totals, phones } = simulator.counters();
  assert.deepEqual(
    [totals.pairings, totals.logins, totals.sockets_logged_in, totals.max_sockets_per_device],
    [5, 5, 5, 1],
  );
  assert.equal(phones['15550001001'].sockets_open, 5);
});
