/** The bridge: Baileys sockets behind JSON lines on standard input and output (docs/wire.md). */

import { makeLogger, silenceConsole } from './log.js';
import { readConfig } from './config.js';

silenceConsole();
let config;
try {
  config = readConfig(process.env);
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exit(2);
}

const { Curve, WA_CERT_DETAILS } = await import('baileys');
const { hardenCurve, loadSodium } = await import('./curve.js');
const { serve } = await import('./serve.js');

hardenCurve(Curve, await loadSodium());
if (config.rootKey) WA_CERT_DETAILS.PUBLIC_KEY = config.rootKey;
serve(process.stdin, process.stdout, config, makeLogger(config.logLevel));
