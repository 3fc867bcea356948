/** Keeps the simulator's seed, phones and linked devices in a file, so that linked clients survive its restart. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';

const VERSION = 1;

/**
 * @param {string} path
 * @returns {{ seed: string, phones: object[] } | null} null when there is no such file yet
 * @throws {Error} when the file is none of ours
 */
export function load(path) {
  let text;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return null;
    throw error;
  }
  const state = parse(text);
  if (state?.version !== VERSION)
    throw new Error(
      `${path} is not a state file of this version of the simulator. Name another file, or delete this one.`,
    );
  const phones = state.phones.map(phone => ({ ...phone, devices: phone.devices.map(thaw) }));
  return { seed: state.seed, phones };
}

/** Writes the file as a whole or not at all. */
export function save(path, seed, phones) {
  const saved = [...phones].map(({ phone, name, platform, banned, lastDevice, devices }) => ({
    ...{ phone, name, platform, banned, lastDevice },
    devices: [...devices.values()].map(freeze),
  }));
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, JSON.stringify({ version: VERSION, seed, phones: saved }), { mode: 0o600 });
  renameSync(temporary, path);
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

const BYTES = ['noiseKey', 'identityKey', 'registrationId'];

function freeze({ number, noiseKey, identityKey, registrationId, name, platform, linkedAt, preKeys }) {
  const encoded = Object.fromEntries(
    Object.entries({ noiseKey, identityKey, registrationId }).map(([key, bytes]) => [key, bytes.toString('base64')]),
  );
  return { number, ...encoded, name, platform, linkedAt, preKeys };
}

const thaw = device => ({
  ...device,
  ...Object.fromEntries(BYTES.map(key => [key, Buffer.from(device[key], 'base64')])),
});
