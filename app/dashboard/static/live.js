/** The Socket.IO side: what happens to the sessions, and the verbs. */

import { Problem } from "./api.js";

/** Longer than any deadline of the service: it answers each verb itself, with success or error. */
const ANSWER_MS = 60_000;

const VERBS = ["start-session", "generate-qr", "logout", "stop-session", "force-reset"];

/**
 * Events: `state` ({state, detail}: connecting, live, lost, refused), `status` (record), `qr` (QR JSON), `gone` (session id).
 */
export class Live extends EventTarget {
  #socket;
  /** @type {Set<string>} */
  #watched = new Set();
  /** @type {Map<string, {resolve: Function, reject: Function, timer: number}>} by `verb session` */
  #waiting = new Map();

  /**
   * @param {Function} io the function of socket.io-client
   * @param {() => string} key
   */
  constructor(io, key) {
    super();
    const base = new URL("socket.io/", document.baseURI);
    this.#socket = io(base.origin, {
      path: base.pathname,
      autoConnect: false,
      auth: (send) => send(key() ? { apiKey: key() } : {}),
      // WebSocket first: a load balancer in front of several replicas then needs no sticky sessions.
      transports: ["websocket", "polling"],
      tryAllTransports: true,
      reconnectionDelay: 500,
      reconnectionDelayMax: 4000,
    });
    this.#listen();
  }

  get connected() {
    return this.#socket.connected;
  }

  open() {
    this.#socket.connect();
  }

  close() {
    this.#socket.disconnect();
  }

  /** Follow these sessions, as long as the page lives. */
  watch(ids) {
    for (const id of ids) {
      if (this.#watched.has(id)) continue;
      this.#watched.add(id);
      if (this.#socket.connected) this.#socket.emit("subscribe", { session: id });
    }
  }

  /** Forget a session: one of the same name may come again, and is then followed anew. */
  unwatch(id) {
    this.#watched.delete(id);
  }

  /**
   * Runs a verb. Resolves to the payload of `VERB-success`, rejects with a Problem.
   * @param {string} verb
   * @param {string} session
   */
  run(verb, session) {
    if (!this.#socket.connected) {
      return Promise.reject(new Problem({ code: "not_connected", detail: "The page is not connected to the service." }));
    }
    const place = `${verb} ${session}`;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => this.#settle(place, "reject", new Problem({ code: "no_answer", detail: "The service gave no answer." })),
        ANSWER_MS,
      );
      this.#waiting.set(place, { resolve, reject, timer });
      this.#socket.emit(verb, { session });
    });
  }

  #listen() {
    const socket = this.#socket;
    socket.on("connect", () => {
      for (const id of this.#watched) socket.emit("subscribe", { session: id });
      this.#tell("state", { state: "live" });
    });
    socket.on("disconnect", () => {
      const detail = "The connection was lost before the answer came; the status shows what became of it.";
      for (const place of [...this.#waiting.keys()]) this.#settle(place, "reject", new Problem({ code: "lost", detail }));
      this.#tell("state", { state: "lost" });
      if (!socket.active) socket.connect(); // the service ended it, which the client takes for final
    });
    socket.on("connect_error", (error) => {
      const refused = !socket.active;
      this.#tell("state", { state: refused ? "refused" : "lost", detail: error.data?.detail ?? error.message });
    });
    socket.on("session-status", (record) => this.#tell("status", record));
    socket.on("qr", (code) => this.#tell("qr", code));
    for (const verb of VERBS) {
      socket.on(`${verb}-success`, (answer) => this.#settle(`${verb} ${answer.session}`, "resolve", answer));
      socket.on(`${verb}-error`, (answer) =>
        this.#settle(
          `${verb} ${answer.session}`,
          "reject",
          new Problem({ code: answer.code, detail: answer.error, nextAction: answer.next_action }),
        ),
      );
    }
  }

  #settle(place, how, value) {
    const waiting = this.#waiting.get(place);
    if (!waiting) return;
    this.#waiting.delete(place);
    clearTimeout(waiting.timer);
    waiting[how](value);
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
