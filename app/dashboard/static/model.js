/** What the page knows. Plain data with one rule each: newer replaces older, and an expired code does not exist. */

/** A code this close to its end is no longer shown: nobody scans in a quarter of a second. */
const LAST_MOMENT_MS = 250;

/** @typedef {{text: string, tone: "busy" | "good" | "bad", next?: string, verb: string}} Outcome */
/** @typedef {{entries: any[], state: "loading" | "ready" | "failed", wanted: number}} Timeline */

export class Model {
  /** @type {Map<string, {record: any, seenAt: number}>} */
  #sessions = new Map();
  /** @type {Map<string, any>} */
  #codes = new Map();
  /** @type {Map<string, Timeline>} */
  timelines = new Map();
  /** @type {Map<string, Outcome>} */
  outcomes = new Map();
  /** The session that the address names, and the one that is shown. */
  chosen = "";
  /** Whether the list is complete, and from where it goes on. */
  next = null;
  loaded = false;

  /** @param {() => number} now the service's time */
  constructor(now) {
    this.now = now;
  }

  /** All records, by id in the service's order. */
  get records() {
    return [...this.#sessions.values()].map((it) => it.record).sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** Which session to show: the one chosen, else the default one, else the first. */
  get shown() {
    if (this.chosen) return this.chosen;
    return this.#sessions.has("default") ? "default" : (this.records[0]?.id ?? "");
  }

  record(id) {
    return this.#sessions.get(id)?.record ?? null;
  }

  /** Takes a record unless a newer one is known. @returns {boolean} whether it was taken */
  put(record) {
    const known = this.#sessions.get(record.id);
    if (known && isOlder(record, known.record)) return false;
    const news = !known || known.record.seq !== record.seq || known.record.epoch !== record.epoch;
    this.#sessions.set(record.id, { record, seenAt: Date.now() });
    if (record.status !== "qr" || (record.qr_id && this.#codes.get(record.id)?.qr_id !== record.qr_id)) {
      this.#codes.delete(record.id);
    }
    return news;
  }

  remove(id) {
    this.#sessions.delete(id);
    this.#codes.delete(id);
    this.timelines.delete(id);
    this.outcomes.delete(id);
  }

  /** Takes a whole listing asked for at `askedAt`: who is not in it, and was not heard of since, is gone. */
  replace(records, next, askedAt) {
    const listed = new Set(records.map((it) => it.id));
    const last = records.at(-1)?.id ?? "";
    const gone = [...this.#sessions].filter(
      ([id, it]) => !listed.has(id) && it.seenAt < askedAt && (next === null || id <= last),
    );
    for (const [id] of gone) this.remove(id);
    this.next = next;
    this.loaded = true;
    return { gone: gone.map(([id]) => id), news: records.filter((it) => this.put(it)) };
  }

  putCode(code) {
    const record = this.record(code.session);
    if (record && record.status === "qr" && record.qr_id && record.qr_id !== code.qr_id) return;
    const expires = Date.parse(code.expires_at);
    const known = this.#codes.get(code.session);
    const span = known?.qr_id === code.qr_id ? known.span : Math.max(1, expires - this.now());
    this.#codes.set(code.session, { ...code, expires, span });
  }

  /** The code on offer, or null: never an expired one. */
  code(id) {
    const code = this.#codes.get(id);
    return code && this.record(id)?.status === "qr" && code.expires - this.now() > LAST_MOMENT_MS ? code : null;
  }

  /** Whether the newest code of the session has run out. */
  codeExpired(id) {
    const expires = this.#codes.get(id)?.expires ?? Date.parse(this.record(id)?.qr_expires_at ?? "");
    return expires - this.now() <= LAST_MOMENT_MS;
  }
}

/** A session that was deleted and made again has a higher epoch and starts its numbers anew. */
function isOlder(record, known) {
  return record.epoch !== known.epoch ? record.epoch < known.epoch : record.seq < known.seq;
}
