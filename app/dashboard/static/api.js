/** The REST side: the list, the timeline, the present QR code, deletion. */

const TIMEOUT_MS = 10_000;

/** An error with what the service said about it (RFC 9457), or with our own words when it said nothing. */
export class Problem extends Error {
  /** @param {{code: string, detail: string, nextAction?: string, status?: number}} fields */
  constructor({ code, detail, nextAction = "", status = 0 }) {
    super(detail);
    this.code = code;
    this.nextAction = nextAction;
    this.status = status;
  }
}

const UNREACHABLE = { code: "unreachable", detail: "The service does not answer." };

export class Api {
  /** How far this machine's clock is behind the service's, in milliseconds. */
  #skew = 0;
  /** @type {Map<string, {etag: string, body: any}>} */
  #cache = new Map();

  /** @param {() => string} key */
  constructor(key) {
    this.key = key;
  }

  /** The service's present time, in milliseconds. */
  now() {
    return Date.now() + this.#skew;
  }

  /** @returns {Promise<{sessions: any[], next: string | null}>} */
  page(after, limit) {
    const query = new URLSearchParams({ limit: String(limit) });
    if (after) query.set("after", after);
    return this.#request("GET", `sessions?${query}`);
  }

  session(id) {
    return this.#request("GET", `sessions/${encodeURIComponent(id)}`);
  }

  qr(id) {
    return this.#request("GET", `sessions/${encodeURIComponent(id)}/qr?format=json`);
  }

  timeline(id, after) {
    return this.#request("GET", `sessions/${encodeURIComponent(id)}/timeline?after=${after}`);
  }

  remove(id) {
    return this.#request("DELETE", `sessions/${encodeURIComponent(id)}`);
  }

  async #request(method, path) {
    const cached = method === "GET" ? this.#cache.get(path) : undefined;
    const headers = { Accept: "application/json" };
    if (this.key()) headers.Authorization = `Bearer ${this.key()}`;
    if (cached) headers["If-None-Match"] = cached.etag;
    const asked = Date.now();
    let response;
    let body;
    try {
      response = await fetch(new URL(path, document.baseURI), {
        method, headers, cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      body = await response.text();
    } catch {
      throw new Problem(UNREACHABLE);
    }
    this.#setClock(response.headers.get("Date"), asked);
    if (response.status === 304 && cached) return cached.body;
    const data = parse(body);
    if (!response.ok) throw problemOf(response, data);
    const etag = response.headers.get("ETag");
    if (method === "GET" && etag) this.#cache.set(path, { etag, body: data });
    return data;
  }

  /** The Date header has whole seconds, so a difference that small is taken for none. */
  #setClock(date, asked) {
    const theirs = Date.parse(date ?? "");
    if (Number.isNaN(theirs)) return;
    const difference = theirs + 500 - (asked + Date.now()) / 2;
    this.#skew = Math.abs(difference) > 1500 ? difference : 0;
  }
}

function parse(body) {
  try {
    return body ? JSON.parse(body) : null;
  } catch {
    return null;
  }
}

function problemOf(response, data) {
  return new Problem({
    status: response.status,
    code: data?.code ?? `http_${response.status}`,
    detail: data?.detail ?? `The service answered ${response.status} ${response.statusText}`.trim(),
    nextAction: data?.next_action ?? "",
  });
}
