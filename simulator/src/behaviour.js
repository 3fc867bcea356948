/** How the server behaves, and how it can be told to misbehave. Every setting can be read and set while it runs. */
import { invalid } from './errors.js';

const isObject = value => typeof value === 'object' && value !== null && !Array.isArray(value);

/** A whole number between `least` and `most`. */
export const wholeNumber = (least, most) => (name, value) => {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw invalid(`${name}: a whole number from ${least} to ${most}.`);
};

const flag = (name, value) => {
  if (typeof value === 'boolean') return value;
  throw invalid(`${name}: true or false.`);
};

const milliseconds = wholeNumber(0, 600_000);

/** An HTTP-like code, the number a client sees as the reason. */
export const closeCode = wholeNumber(400, 599);

const refLifetime = (name, value) => {
  if (Number.isInteger(value)) return { first: milliseconds(name, value), next: value };
  if (!isObject(value)) throw invalid(`${name}: milliseconds, or {"first": milliseconds, "next": milliseconds}.`);
  refuseUnknown(name, value, ['first', 'next']);
  return { first: milliseconds(`${name}.first`, value.first), next: milliseconds(`${name}.next`, value.next) };
};

/** `"accept"`, a code, or `{answer, times}`: after so many refusals it is back to accepting. */
const answer = (name, value) => {
  const { answer: given, times = null, ...rest } = isObject(value) ? value : { answer: value };
  refuseUnknown(name, rest, []);
  if (given === 'accept') return { answer: 'accept', times: null };
  if (!Number.isInteger(given))
    throw invalid(`${name}: "accept", a code such as 503, or {"answer": code, "times": number or null}.`);
  return {
    answer: closeCode(`${name}.answer`, given),
    times: times === null ? null : wholeNumber(1, 1_000_000)(`${name}.times`, times),
  };
};

const handshake = (name, value) => {
  if (['accept', 'silent', 'refuse'].includes(value)) return value;
  if (Number.isInteger(value)) return closeCode(name, value);
  throw invalid(`${name}: "accept", "silent", "refuse", or an HTTP status from 400 to 599 to answer the upgrade with.`);
};

function refuseUnknown(name, value, known) {
  const unknown = Object.keys(value).find(key => !known.includes(key));
  if (unknown !== undefined)
    throw invalid(`${name ? `${name}.` : ''}${unknown} is not a setting. Known: ${known.join(', ') || 'none here'}.`);
}

/** Name → what it takes, what it is from the start, and whether a phone can have its own. */
const SETTINGS = {
  handshake: { parse: handshake, initial: 'accept', perPhone: false },
  register: { parse: answer, initial: { answer: 'accept', times: null }, perPhone: false },
  no_qr: { parse: flag, initial: false, perPhone: false },
  refs: { parse: wholeNumber(1, 20), initial: 6, perPhone: false },
  ref_lifetime_ms: { parse: refLifetime, initial: { first: 60_000, next: 20_000 }, perPhone: false },
  first_scan_wins: { parse: flag, initial: true, perPhone: false },
  passkey: { parse: flag, initial: false, perPhone: true },
  login: { parse: answer, initial: { answer: 'accept', times: null }, perPhone: true },
  answer_delay_ms: { parse: milliseconds, initial: 0, perPhone: true },
  prekey_delay_ms: { parse: milliseconds, initial: 0, perPhone: true },
};

/** Settings, and below them those of `parent`: a phone's own stand above the server's. */
export class Behaviour {
  #own = {};
  #parent;
  #names;

  /** @param {Behaviour | null} parent */
  constructor(parent = null) {
    this.#parent = parent;
    this.#names = Object.keys(SETTINGS).filter(name => parent === null || SETTINGS[name].perPhone);
  }

  get(name) {
    return this.#own[name] ?? (this.#parent ? this.#parent.get(name) : SETTINGS[name].initial);
  }

  /** The answer that `name` (`login` or `register`) has for this one: `accept` or a code. Uses up one of its times. */
  take(name) {
    const own = this.#own[name];
    if (own === undefined) return this.#parent ? this.#parent.take(name) : 'accept';
    if (own.times !== null && --own.times === 0) delete this.#own[name];
    return own.answer;
  }

  /**
   * Sets what `changes` names; null means as at the start.
   * @throws {import('./errors.js').SimulatorError} 422, and nothing is set
   */
  patch(changes) {
    const parsed = this.#parse(changes);
    for (const [name, value] of parsed) value === null ? delete this.#own[name] : (this.#own[name] = value);
  }

  /** The same, with all that `settings` does not name back as it was at the start. */
  replace(settings) {
    const parsed = this.#parse(settings);
    this.#own = Object.fromEntries(parsed.filter(([, value]) => value !== null));
  }

  /** Every setting of the server; of a phone only its own. */
  describe() {
    if (this.#parent) return structuredClone(this.#own);
    return structuredClone(Object.fromEntries(this.#names.map(name => [name, this.get(name)])));
  }

  #parse(settings) {
    if (!isObject(settings)) throw invalid('Settings are a JSON object.');
    refuseUnknown('', settings, this.#names);
    return Object.entries(settings).map(([name, value]) => [
      name,
      value === null ? null : SETTINGS[name].parse(name, value),
    ]);
  }
}
