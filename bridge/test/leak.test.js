import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { Curve, WA_CERT_DETAILS } from 'baileys';

import { readConfig } from '../src/config.js';
import { hardenCurve, loadSodium } from '../src/curve.js';
import { makeLogger, silenceConsole } from '../src/log.js';
import { serve } from '../src/serve.js';
import { Driver } from './driver.js';

const SIMULATOR = fileURLToPath(new URL('../../simulator/src/main.js', import.meta.url));

/** How much the heap may grow over all cycles of a test: a socket that was kept costs about 1 MB. */
const TOLERANCE = 2_000_000;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc');

let simulator;
let control;
let driver;
let lastSocket = 0;

before(async () => {
  // In a process of its own, so that this heap is the bridge's.
  simulator = spawn(process.execPath, [SIMULATOR, '--port', '0', '--json'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = await once(simulator.stdout.setEncoding('utf8'), 'data');
  const settings = JSON.parse(line);
  control = async (path, body) => {
    const answer = await fetch(settings.control_url + path, { method: 'POST', body: JSON.stringify(body) });
    assert.ok(answer.ok, await answer.text());
  };
  silenceConsole();
  const config = readConfig(settings);
  hardenCurve(Curve, await loadSodium());
  WA_CERT_DETAILS.PUBLIC_KEY = config.rootKey;
  const [input, output] = [new PassThrough(), new PassThrough()];
  serve(input, output, config, makeLogger('silent'));
  driver = new Driver(input, output);
});

after(async () => {
  simulator.kill();
  await once(simulator, 'exit');
});

async function measure() {
  for (let round = 0; round < 3; round++) {
    collectGarbage();
    await new Promise(resolve => setTimeout(resolve, 50));
  }
  const handles = process.getActiveResourcesInfo().filter(kind => kind !== 'Immediate');
  return { heap: process.memoryUsage().heapUsed, handles: handles.length, sockets: (await driver.request('ping')).sockets };
}

/** Runs `cycle` often, and says what grew. */
async function grows(cycle, times) {
  for (let n = 0; n < 30; n++) await cycle();
  const before = await measure();
  for (let n = 0; n < times; n++) await cycle();
  const after = await measure();
  return { heap: after.heap - before.heap, handles: after.handles - before.handles, sockets: after.sockets };
}

function assertNothingKept(growth) {
  assert.equal(growth.sockets, 0);
  assert.ok(growth.heap < TOLERANCE, `heap grew by ${growth.heap} bytes`);
  assert.ok(growth.handles <= 2, `${growth.handles} more handles are open`);
}

test('300 sockets that offered a code and were closed leave nothing behind', async () => {
  const growth = await grows(async () => {
    const socket = ++lastSocket;
    await driver.open('default', socket);
    await driver.next('qr', socket);
    await driver.request('close', { session: 'default', epoch: 1, socket });
  }, 300);
  assertNothingKept(growth);
});

test('150 logins that are cut while Baileys waits for an answer leave nothing behind', async () => {
  const socket = ++lastSocket;
  await driver.open('linked', socket);
  const { text } = await driver.next('qr', socket);
  await control('/phones/default/scan', { qr: text });
  await driver.next('closed', socket);
  const growth = await grows(async () => {
    const next = ++lastSocket;
    await control('/phones/default/then', { on: 'prekey_count', do: 'cut' });
    await driver.open('linked', next, driver.creds('linked'));
    await driver.next('closed', next);
    driver.requests.length = 0;
  }, 150);
  assertNothingKept(growth);
});
