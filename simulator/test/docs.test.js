import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { startSimulator } from '@relink/simulator';
import { Behaviour } from '../src/behaviour.js';
import { PATHS } from '../src/control.js';
import { EVENTS } from '../src/journal.js';
import { MOMENTS } from '../src/rules.js';
import { Client, event } from './client.js';

const guide = readFileSync(new URL('../../docs/simulator.md', import.meta.url), 'utf8');
const simulator = await startSimulator();
after(() => simulator.close());

test('every path, setting, counter, event and moment is in the guide', () => {
  const paths = PATHS.map(path => path.replace(':phone', '{phone}').replace(':socket', '{id}'));
  for (const path of paths) assert.ok(guide.includes(`${path}`), path);
  const counters = Object.keys(simulator.counters().totals);
  for (const name of [...Object.keys(new Behaviour().describe()), ...counters, ...Object.keys(EVENTS), ...MOMENTS])
    assert.ok(guide.includes(`\`${name}\``), name);
});

/** `curl [-X METHOD] URL [-d BODY]`, with the shell's quotes and variables. */
function parse(line, variables) {
  const expand = text =>
    text.replace(/\$([A-Z0-9]+)/g, (_, name) => variables[name] ?? assert.fail(`$${name} is unknown`));
  const words = [...line.replace(/\s+#.*$/, '').matchAll(/"((?:\\.|[^"])*)"|'([^']*)'|(\S+)/g)];
  const [curl, ...rest] = words.map(
    ([, double, single, bare]) => single ?? expand((double ?? bare).replace(/\\"/g, '"')),
  );
  assert.equal(curl, 'curl');
  const option = name => (rest.includes(name) ? rest.splice(rest.indexOf(name), 2)[1] : undefined);
  return { method: option('-X') ?? 'GET', body: option('-d'), url: rest[0] };
}

test('every curl of the guide works as printed, in order', async () => {
  const api = guide.slice(guide.indexOf('## The story'));
  const lines = [...api.matchAll(/```sh\n([\s\S]*?)```/g)]
    .flatMap(([, block]) => block.split('\n'))
    .filter(line => line.startsWith('curl'));
  assert.ok(lines.length > 35);
  for (const line of lines) {
    const variables = { SIM: simulator.controlUrl };
    for (const name of ['QR', 'QR2'])
      if (line.includes(`$${name}\\`)) variables[name] = await new Client(simulator).open().qr();
    if (line.includes('$SOCKET')) variables.SOCKET = (await waitingSocket()).id;
    if (line.includes('$CODE')) variables.CODE = await shownCode();
    if (line.includes('type=login')) await login();
    const { method, url, body } = parse(line, variables);
    const response = await fetch(url, { method, body });
    assert.ok(response.ok, `${line}: ${await response.text()}`);
  }
});

/** A client that shows a QR code; made where there is none. */
async function waitingSocket() {
  const waiting = () => simulator.sockets().find(({ state }) => state === 'linking');
  if (!waiting()) await new Client(simulator).open().qr();
  return waiting();
}

async function shownCode() {
  const client = new Client(simulator);
  await client.open().qr();
  const code = await client.socket.requestPairingCode(simulator.phones()[0].phone);
  await event(simulator, 'code_shown');
  return code;
}

async function login() {
  await new Client(simulator).connect();
  await event(simulator, 'digest');
}
