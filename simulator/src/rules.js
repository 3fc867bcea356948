/** Rules: "when this happens to the device, do that". Each acts once. This is how a test hits a moment exactly. */
import { closeCode, wholeNumber } from './behaviour.js';
import { invalid } from './errors.js';

/** What can be done to a linked device, by whoever holds the phone or the network. */
export const VERBS = ['logout', 'ban', 'unban', 'replace', 'cut', 'silence', 'resume', 'close'];

/** The moments in a device's life that a rule can name, in the order in which they come. */
export const MOMENTS = ['paired', 'close', 'login', 'prekey_count', 'prekey_upload', 'active', 'digest', 'ping'];

/** @typedef {{ on: string, do: string, after_ms: number, code: number | null }} Rule */

/**
 * @param {unknown} given one rule or a list of them, or nothing
 * @returns {Rule[]}
 * @throws {import('./errors.js').SimulatorError} 422
 */
export function parseRules(given) {
  if (given === undefined || given === null) return [];
  return [given].flat().map(rule => {
    if (typeof rule !== 'object' || rule === null)
      throw invalid('then: a rule such as {"on": "login", "do": "logout", "after_ms": 0}, or a list of them.');
    const { on, do: verb, after_ms: afterMs = 0, code = null, ...rest } = rule;
    if (!MOMENTS.includes(on)) throw invalid(`then.on: one of ${MOMENTS.join(', ')}.`);
    if (!VERBS.includes(verb)) throw invalid(`then.do: one of ${VERBS.join(', ')}.`);
    if (Object.keys(rest).length > 0)
      throw invalid(`then: ${Object.keys(rest)[0]} is not part of a rule. A rule has on, do, after_ms, code.`);
    return {
      on,
      do: verb,
      after_ms: wholeNumber(0, 600_000)('then.after_ms', afterMs),
      code: code === null ? null : closeCode('then.code', code),
    };
  });
}
