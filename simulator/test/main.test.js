import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startSimulator } from '@relink/simulator';
import { Client, within } from './client.js';

const MAIN = fileURLToPath(new URL('../src/main.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'relink-simulator-'));
const children = new Set();

after(() => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true });
});

function start(...args) {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  children.add(child);
  child.output = '';
  child.errors = '';
  child.stdout.on('data', text => (child.output += text));
  child.stderr.on('data', text => (child.errors += text));
  child.ended = once(child, 'close').then(([code, signal]) => (children.delete(child), { code, signal }));
  return child;
}

async function started(...args) {
  const child = start('--port', '0', '--json', ...args);
  await within(once(child.stdout, 'data'), 'output');
  return { child, ...JSON.parse(child.output) };
}

async function stop(child, signal = 'SIGTERM') {
  child.kill(signal);
  return within(child.ended, 'end of the process', 2_000);
}

const asServer = ({ WHATSAPP_URL: url, WHATSAPP_ROOT_KEY: rootKey }) => ({ url, rootKey });

const post = async (url, body) => (await fetch(url, { method: 'POST', body: JSON.stringify(body) })).json();

test('prints one line of JSON, serves, and ends at once on SIGTERM, with clients connected', async () => {
  const { child, port, control_url: url, pid, ...settings } = await started();
  assert.equal(child.output.split('\n').length, 2);
  assert.equal(pid, child.pid);
  assert.equal(settings.WHATSAPP_URL, `ws://127.0.0.1:${port}/ws/chat`);
  assert.match(settings.WHATSAPP_ROOT_KEY, /^[0-9a-f]{64}$/);
  const client = new Client(asServer(settings));
  const qr = await client.open().qr();
  assert.match((await post(`${url}/phones/default/scan`, { qr })).jid, /^15550001001:1@/);
  assert.equal((await client.closed()).code, 515);
  await client.open().opened();
  assert.deepEqual(await stop(child), { code: 0, signal: null });
  assert.equal((await client.closed()).code, 428);
  assert.equal(child.errors, '');
});

test('prints the two settings for people, and ends on SIGINT', async () => {
  const child = start('--port', '0');
  await within(once(child.stdout, 'data'), 'output');
  assert.match(child.output, /^ {2}WHATSAPP_URL=ws:\/\/127\.0\.0\.1:\d+\/ws\/chat$/m);
  assert.match(child.output, /^ {2}WHATSAPP_ROOT_KEY=[0-9a-f]{64}$/m);
  assert.deepEqual(await stop(child, 'SIGINT'), { code: 0, signal: null });
});

test('the root key is another at each start, unless there is a seed', async () => {
  const [first, second, seeded, again] = await Promise.all([
    started(),
    started(),
    started('--seed', 'demo'),
    started('--root-key-seed', 'demo'),
  ]);
  assert.notEqual(first.WHATSAPP_ROOT_KEY, second.WHATSAPP_ROOT_KEY);
  assert.equal(seeded.WHATSAPP_ROOT_KEY, again.WHATSAPP_ROOT_KEY);
  await Promise.all([first, second, seeded, again].map(({ child }) => stop(child)));
});

test('with a state file, linked devices survive even a SIGKILL', async () => {
  const file = join(folder, 'state.json');
  const before = await started('--state', file);
  const client = new Client(asServer(before));
  const qr = await client.open().qr();
  await post(`${before.control_url}/phones`, { name: 'Ada' });
  const { jid } = await post(`${before.control_url}/phones/default/scan`, { qr });
  await client.closed();
  await client.open().opened();
  await stop(before.child, 'SIGKILL');
  assert.equal((await client.closed()).code, 428);
  assert.equal(statSync(file).mode & 0o777, 0o600);

  const afterwards = await started('--state', file);
  assert.equal(afterwards.WHATSAPP_ROOT_KEY, before.WHATSAPP_ROOT_KEY);
  client.simulator = asServer(afterwards);
  await client.open().opened();
  const { phones } = await (await fetch(`${afterwards.control_url}/phones`)).json();
  assert.deepEqual(
    phones.map(({ name, devices }) => [name, devices.map(device => [device.jid, device.pre_keys])]),
    [
      [null, [[jid, 812]]],
      ['Ada', []],
    ],
  );
  const { totals } = await (await fetch(`${afterwards.control_url}/counters`)).json();
  assert.deepEqual([totals.logins, totals.prekey_uploads], [1, 0]);
  await stop(afterwards.child);
});

for (const [name, args, message] of [
  ['a port that is none', ['--port', '99999'], /--port 99999: a number from 0 to 65535/],
  ['an address that others can reach', ['--port', '0', '--host', '0.0.0.0'], /listens on loopback only/],
  ['an option that does not exist', ['--prot', '1'], /prot/],
  ['a state file that is none', ['--port', '0', '--state', MAIN], /is not a state file/],
]) {
  test(`refuses to start with ${name}`, async () => {
    const child = start(...args);
    assert.equal((await within(child.ended, 'end of the process')).code, 1);
    assert.match(child.errors, message);
    assert.equal(child.errors.trim().split('\n').length, 1);
  });
}

test('refuses a port that is taken, and says how to go on', async () => {
  const simulator = await startSimulator();
  const child = start('--port', String(simulator.port));
  assert.equal((await within(child.ended, 'end of the process')).code, 1);
  assert.match(child.errors, /EADDRINUSE.*--port 0/);
  await simulator.close();
});

test('refuses a state file of another seed', async () => {
  const stateFile = join(folder, 'seeded.json');
  await (await startSimulator({ seed: 'one', stateFile })).close();
  await (await startSimulator({ seed: 'one', stateFile })).close();
  await assert.rejects(startSimulator({ seed: 'two', stateFile }), /another seed/);
  writeFileSync(stateFile, readFileSync(stateFile, 'utf8').replace('"version":1', '"version":2'));
  await assert.rejects(startSimulator({ stateFile }), /not a state file of this version/);
});

test('--help', async () => {
  const child = start('--help');
  assert.equal((await within(child.ended, 'end of the process')).code, 0);
  assert.match(child.output, /^Usage: relink-simulator/);
});
