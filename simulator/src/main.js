#!/usr/bin/env node
/** The command `relink-simulator`. */
import { parseArgs } from 'node:util';
import { startSimulator } from './server.js';

const HELP = `Usage: relink-simulator [options]

A WhatsApp Web server for tests, with phones on command. See docs/simulator.md.

  --host ADDRESS   loopback address to listen on (127.0.0.1)
  --port PORT      port to listen on (3002; 0 takes a free one)
  --seed TEXT      the same keys, and so the same WHATSAPP_ROOT_KEY, at every start
  --state FILE     keep phones and linked devices in FILE, so that links survive a restart
  --json           print one line of JSON instead of text for people
  --help           print this
`;

const OPTIONS = {
  host: { type: 'string', default: '127.0.0.1' },
  port: { type: 'string', default: '3002' },
  seed: { type: 'string' },
  'root-key-seed': { type: 'string' },
  state: { type: 'string' },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
};

function readOptions() {
  const { values } = parseArgs({ options: OPTIONS });
  const port = /^\d{1,5}$/.test(values.port) ? Number(values.port) : NaN;
  if (!(port <= 65_535)) throw new Error(`--port ${values.port}: a number from 0 to 65535 is needed.`);
  return { ...values, port, seed: values.seed ?? values['root-key-seed'] };
}

const forPeople = ({ url, controlUrl, rootKey }) => `A WhatsApp Web server for tests listens on ${controlUrl}

Point Relink, or any Baileys client, at it:
  WHATSAPP_URL=${url}
  WHATSAPP_ROOT_KEY=${rootKey}

Scan a QR code with its phone, then log that phone out:
  curl -X POST ${controlUrl}/phones/default/scan -d '{"qr": "…"}'
  curl -X POST ${controlUrl}/phones/default/logout

Ctrl-C ends it.
`;

const forPrograms = ({ port, controlUrl, settings }) =>
  `${JSON.stringify({ control_url: controlUrl, port, pid: process.pid, ...settings })}\n`;

async function main() {
  const { host, port, seed, state, json, help } = readOptions();
  if (help) return process.stdout.write(HELP);
  const simulator = await startSimulator({ host, port, seed, stateFile: state });
  for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => simulator.close().then(() => process.exit(0)));
  process.stdout.write((json ? forPrograms : forPeople)(simulator));
}

main().catch(error => {
  const taken = error.code === 'EADDRINUSE' ? ' Choose another one with --port, or --port 0 for any that is free.' : '';
  process.stderr.write(`relink-simulator: ${error.message}${taken}\n`);
  process.exit(1);
});
