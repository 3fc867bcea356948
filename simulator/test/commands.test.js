import assert from 'node:assert/strict';
import { after, beforeEach, test } from 'node:test';
import { startSimulator } from '@relink/simulator';
import { Client, event, history } from './client.js';

const simulator = await startSimulator();
beforeEach(() => simulator.reset());
after(() => simulator.close());

test('ban: 403 now and at each login, until unban', async () => {
  const client = new Client(simulator);
  await client.connect();
  simulator.command('ban');
  assert.equal((await client.closed()).code, 403);
  assert.deepEqual(await client.open().closed(), { code: 403, message: 'Connection Failure' });
  simulator.command('unban');
  await client.open().opened();
});

test('replace: 440, and the device can come back', async () => {
  const client = new Client(simulator);
  await client.connect();
  simulator.command('replace');
  assert.equal((await client.closed()).code, 440);
  await client.open().opened();
  assert.equal(simulator.counters().totals.replaced, 1);
});

test('cut: the connection breaks without a word', async () => {
  const client = new Client(simulator);
  const { jid } = await client.connect();
  simulator.command('cut');
  assert.deepEqual(await client.closed(), { code: 428, message: 'Connection Terminated' });
  assert.equal((await event(simulator, 'close', { jid, after: (await event(simulator, 'cut')).n })).detail, 'cut');
});

for (const code of [503, 411, 515, 401, 500]) {
  test(`close with ${code}`, async () => {
    const client = new Client(simulator);
    await client.connect();
    simulator.command('close', { code });
    assert.equal((await client.closed()).code, code);
    assert.equal(simulator.phones()[0].devices.length, 1);
  });
}

test('close without a code is a bad session to the client', async () => {
  const client = new Client(simulator);
  await client.connect();
  simulator.command('close');
  assert.deepEqual(await client.closed(), { code: 500, message: 'Stream Errored (unknown)' });
});

test('silence: nothing is answered, nothing is closed; resume: all that waited comes', async () => {
  const client = new Client(simulator);
  await client.connect();
  await event(simulator, 'digest');
  simulator.command('silence');
  const asked = client.socket.query({
    tag: 'iq',
    attrs: { to: '@s.whatsapp.net', type: 'get', xmlns: 'w:p' },
    content: [{ tag: 'ping', attrs: {} }],
  });
  const before = await Promise.race([
    asked.then(() => 'answered'),
    event(simulator, 'ping', { waitMs: 100 }).catch(() => 'silence'),
  ]);
  assert.equal(before, 'silence');
  assert.ok(client.socket.ws.isOpen);
  simulator.command('resume');
  assert.equal((await asked).attrs.type, 'result');
});

test('silence: the client finds out by its keep-alive (408), and its hanging up is noticed', async () => {
  const client = new Client(simulator, { keepAliveIntervalMs: 40 });
  await client.connect();
  simulator.command('silence');
  client.socket.ws.socket.terminate();
  assert.equal((await event(simulator, 'close', { after: (await event(simulator, 'silence')).n })).detail, 'client');
  assert.equal(simulator.counters().totals.sockets_open, 0);
});

test('logged out while silent: the client hears of it after resume, the next login is refused at once', async () => {
  const client = new Client(simulator);
  await client.connect();
  simulator.command('silence');
  simulator.command('logout');
  const twin = new Client(simulator);
  twin.creds = { ...client.creds };
  assert.equal((await twin.open().closed()).code, 401);
  assert.ok(client.socket.ws.isOpen);
  simulator.disturb('resume');
  assert.equal((await client.closed()).code, 401);
});

test('commands can name one device of several', async () => {
  const [first, second] = [new Client(simulator), new Client(simulator)];
  const [one, two] = [await first.connect(), await second.connect()];
  assert.deepEqual(simulator.command('logout', { device: one.jid }), [one.jid]);
  assert.equal((await first.closed()).code, 401);
  assert.ok(second.socket.ws.isOpen);
  assert.deepEqual(simulator.command('cut', { device: 2 }), [two.jid]);
  assert.equal((await second.closed()).code, 428);
  assert.throws(() => simulator.command('logout', { device: one.jid }), { status: 404 });
});

test('sockets that are not logged in can be disturbed, one or all', async () => {
  const clients = [new Client(simulator), new Client(simulator), new Client(simulator)];
  for (const client of clients) await client.open().qr();
  const [first, second] = simulator.sockets();
  assert.deepEqual([first.state, first.phone, first.jid, first.silent], ['linking', null, null, false]);
  simulator.disturb('cut', { socket: first.id });
  assert.equal((await clients[0].closed()).code, 428);
  simulator.disturb('close', { socket: second.id, code: 503 });
  assert.equal((await clients[1].closed()).code, 503);
  assert.throws(() => simulator.disturb('cut', { socket: first.id }), { status: 404 });
  assert.ok(simulator.disturb('cut').length >= 1);
  assert.equal((await clients[2].closed()).code, 428);
});

test('reset: nobody is connected, nothing is linked, nothing is counted; the keys stay', async () => {
  const client = new Client(simulator);
  await client.connect();
  simulator.behaviour({ refs: 2 });
  simulator.addPhone();
  const { settings } = simulator;
  const { last } = await simulator.events();
  simulator.reset();
  assert.equal((await client.closed()).code, 428);
  assert.deepEqual(
    simulator.phones().map(({ phone, devices }) => [phone, devices.length]),
    [['15550001001', 0]],
  );
  assert.deepEqual(new Set(Object.values(simulator.counters().totals)), new Set([0]));
  assert.equal(simulator.behaviour().refs, 6);
  assert.deepEqual(simulator.settings, settings);
  assert.deepEqual(await history(simulator, { after: last }), ['reset']);
  assert.equal((await client.open().closed()).code, 401);
});
