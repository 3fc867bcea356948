/** What the server saw: a numbered log of events, and counters made from it and from nothing else. */

/** Event type → the counter it adds to (null: none). These are also the moments that rules can name. */
export const EVENTS = {
  connect: 'connections',
  upgrade_refused: 'upgrade_refusals',
  registration: 'registrations',
  registration_refused: 'registration_refusals',
  refs: null,
  code_shown: 'codes_shown',
  scan: 'scans',
  passkey: 'passkey_requests',
  paired: 'pairings',
  login: 'logins',
  login_refused: 'login_refusals',
  prekey_count: null,
  prekey_upload: 'prekey_uploads',
  active: null,
  digest: null,
  ping: 'pings',
  unlink: 'unlinks',
  removed: 'removals',
  replaced: 'replaced',
  banned: null,
  unbanned: null,
  silence: null,
  resume: null,
  ended: null,
  cut: 'cuts',
  protocol_error: 'protocol_errors',
  close: 'closes',
  reset: null,
};

const COUNTERS = Object.values(EVENTS).filter(name => name !== null);
const DEVICE_COUNTERS = [
  'pairings',
  'logins',
  'login_refusals',
  'prekey_uploads',
  'pings',
  'unlinks',
  'removals',
  'replaced',
  'cuts',
  'closes',
];
/** Devices that are counted one by one; more than these appear in the totals only. */
const MAX_SUBJECTS = 20_000;

const zeros = names => Object.fromEntries(names.map(name => [name, 0]));
const subject = () => ({ ...zeros(DEVICE_COUNTERS), sockets_open: 0, max_sockets: 0 });

export class Journal {
  #kept;
  #events = [];
  #last = 0;
  #waiting = new Set();
  #totals;
  #phones;
  #devices;

  /** @param {number} kept how many events are remembered */
  constructor(kept = 100_000) {
    this.#kept = kept;
    this.#zero();
  }

  /**
   * Writes down one event.
   * @param {keyof typeof EVENTS} type
   * @param {{ jid?: string, phone?: string, socket?: number, detail?: unknown }} about
   */
  record(type, { jid, phone, socket, detail } = {}) {
    const event = { n: ++this.#last, at: new Date().toISOString(), type, phone, jid, socket, detail };
    this.#events.push(event);
    if (this.#events.length > this.#kept * 1.25) this.#events.splice(0, this.#events.length - this.#kept);
    this.#count(EVENTS[type], phone, jid);
    for (const waiter of this.#waiting) if (waiter.matches(event)) waiter.done();
    return event;
  }

  /** The number of the newest event. */
  get last() {
    return this.#last;
  }

  /**
   * Events after number `after`, oldest first.
   * @param {{ after?: number, type?: string, jid?: string, phone?: string, socket?: number, limit?: number }} filter
   * @returns `events`; `last`: give it as `after` the next time; `oldest`: the first that is still remembered
   */
  read({ after = 0, limit = 1_000, ...filter } = {}) {
    const oldest = this.#events[0]?.n ?? this.#last + 1;
    const events = [];
    let last = Math.max(after, this.#last);
    for (let index = Math.max(0, after + 1 - oldest); index < this.#events.length; index++) {
      const event = this.#events[index];
      if (!matches(event, filter)) continue;
      events.push(event);
      if (events.length < limit) continue;
      last = event.n;
      break;
    }
    return { events, last, oldest };
  }

  /** As `read`, but waits until there is something to tell, at most `waitMs`. */
  async wait({ waitMs = 0, signal, ...query } = {}) {
    const answer = this.read(query);
    if (answer.events.length > 0 || waitMs === 0) return answer;
    const { after = 0, limit: _, ...filter } = query;
    await new Promise(resolve => {
      const done = () => {
        clearTimeout(timer);
        this.#waiting.delete(waiter);
        resolve();
      };
      const waiter = { matches: event => event.n > after && matches(event, filter), done };
      const timer = setTimeout(done, waitMs);
      signal?.addEventListener('abort', done, { once: true });
      this.#waiting.add(waiter);
    });
    return this.read(query);
  }

  /** Lets everyone who waits go. */
  release() {
    for (const waiter of this.#waiting) waiter.done();
  }

  /** A socket has logged in. It counts as open until it is told to end or is closed, whichever comes first. */
  socketOpened({ phone, jid }) {
    this.#totals.sockets_logged_in++;
    for (const counters of this.#both(phone, jid)) {
      counters.sockets_open++;
      counters.max_sockets = Math.max(counters.max_sockets, counters.sockets_open);
    }
    const open = this.#devices.get(jid)?.sockets_open ?? 0;
    this.#totals.max_sockets_per_device = Math.max(this.#totals.max_sockets_per_device, open);
  }

  socketClosed({ phone, jid }) {
    this.#totals.sockets_logged_in--;
    for (const counters of this.#both(phone, jid)) counters.sockets_open--;
  }

  counters(socketsOpen) {
    const totals = { ...this.#totals, sockets_open: socketsOpen };
    return { totals, phones: Object.fromEntries(this.#phones), devices: Object.fromEntries(this.#devices) };
  }

  /** Forgets everything; numbers go on, so that no reader takes new events for old ones. */
  reset() {
    this.#events = [];
    this.#zero();
    this.record('reset');
  }

  #zero() {
    this.#totals = { ...zeros(COUNTERS), sockets_logged_in: 0, max_sockets_per_device: 0 };
    this.#phones = new Map();
    this.#devices = new Map();
  }

  #count(counter, phone, jid) {
    if (counter === null) return;
    this.#totals[counter]++;
    if (!DEVICE_COUNTERS.includes(counter)) return;
    for (const counters of this.#both(phone, jid)) counters[counter]++;
  }

  #both(phone, jid) {
    return [this.#of(this.#phones, phone), this.#of(this.#devices, jid)].filter(counters => counters !== undefined);
  }

  #of(group, name) {
    if (name === undefined) return undefined;
    const known = group.get(name);
    if (known || group.size >= MAX_SUBJECTS) return known;
    const fresh = subject();
    group.set(name, fresh);
    return fresh;
  }
}

const matches = (event, filter) =>
  Object.entries(filter).every(([name, wanted]) => wanted === undefined || event[name] === wanted);
