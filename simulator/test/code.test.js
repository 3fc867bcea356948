import assert from 'node:assert/strict';
import { after, beforeEach, test } from 'node:test';
import { startSimulator } from '@relink/simulator';
import { Client, event, within } from './client.js';

const PHONE = '15550001001';
const simulator = await startSimulator();
beforeEach(() => simulator.reset());
after(() => simulator.close());

/** A client that shows a code. */
async function showing(phone = PHONE) {
  const client = new Client(simulator);
  await client.open().qr();
  const code = await client.socket.requestPairingCode(phone);
  await event(simulator, 'code_shown');
  return { client, code };
}

test('a code is typed in: linked and open', async () => {
  const { client, code } = await showing();
  const device = await simulator.enterCode(`${code.slice(0, 4)}-${code.slice(4)}`);
  assert.equal((await client.closed()).code, 515);
  await client.open().opened();
  assert.equal(client.creds.me.id, device.jid);
  assert.equal((await event(simulator, 'scan')).detail, 'code');
});

test('a wrong code: 403, and the right one still works', async () => {
  const { client, code } = await showing();
  await assert.rejects(simulator.enterCode('AAAAAAAA'), { status: 403 });
  assert.deepEqual(simulator.phones()[0].devices, []);
  await simulator.enterCode(code);
  assert.equal((await client.closed()).code, 515);
});

test('a code for another phone, no code at all, or a text that is none', async () => {
  const { phone } = simulator.addPhone();
  await assert.rejects(simulator.enterCode('AAAAAAAA'), { status: 404 });
  const { code } = await showing();
  await assert.rejects(simulator.enterCode(code, { phone }), { status: 404 });
  for (const text of [undefined, '', 'short', 12345678, 'x'.repeat(30)])
    await assert.rejects(simulator.enterCode(text), { status: 422 });
});

test('a banned phone, and one that demands a passkey', async () => {
  const { code } = await showing();
  simulator.command('ban');
  await assert.rejects(simulator.enterCode(code), { status: 403 });
  simulator.command('unban');
  simulator.behaviour({ passkey: true });
  await assert.rejects(simulator.enterCode(code), { status: 409 });
});

test('the client goes away while the code is typed in: 504', async () => {
  const { client, code } = await showing();
  const typed = assert.rejects(simulator.enterCode(code), { status: 504 });
  await client.socket.end();
  await within(typed, 'refusal');
});

test('a client that restarts before the code was typed in is refused, as it says it is linked', async () => {
  const { client } = await showing();
  await client.socket.end();
  assert.equal((await client.open().closed()).code, 401);
});

test('a rule holds for a device linked by code too', async () => {
  const { client, code } = await showing();
  await simulator.enterCode(code, { then: { on: 'paired', do: 'logout' } });
  await client.closed();
  assert.equal((await client.open().closed()).code, 401);
});
