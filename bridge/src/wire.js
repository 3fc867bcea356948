/** Requests, answers and events of docs/wire.md, without their meaning. */

import { LineWriter, readLines } from './lines.js';

export class StaleEpoch extends Error {}

export class Wire {
  #writer;
  #log;
  #handlers;
  #asked = new Map();
  #lastId = 0;

  /**
   * @param {import('node:stream').Readable} input
   * @param {import('node:stream').Writable} output
   * @param {{handlers: Record<string, (message: object) => object | void | Promise<object | void>>,
   *   onPressure: (pressed: boolean) => void, log: import('pino').Logger}} options
   */
  constructor(input, output, { handlers, onPressure, log }) {
    this.#writer = new LineWriter(output, onPressure);
    this.#handlers = handlers;
    this.#log = log;
    readLines(input, line => this.#receive(line), () => log.warn('skipped a line: too long'));
  }

  /** @param {string} event */
  event(event, fields) {
    this.#writer.write({ event, ...fields });
  }

  /**
   * Asks Python something for a socket. Waits as long as the answer takes, or until `forget`.
   * @param {string} op
   * @param {{session: string, epoch: number, socket: number}} address
   * @returns {Promise<object>} the answer; rejects with StaleEpoch or the error's text
   */
  ask(op, address, fields) {
    const id = `b${++this.#lastId}`;
    return new Promise((resolve, reject) => {
      this.#asked.set(id, { socket: address.socket, resolve, reject });
      try {
        this.#writer.write({ id, op, ...address, ...fields });
      } catch (error) {
        this.#asked.delete(id);
        reject(error);
      }
    });
  }

  /** Stops waiting for what was asked for a socket: each of it resolves with an answer that holds nothing. */
  forget(socket) {
    for (const [id, asked] of this.#asked) {
      if (asked.socket !== socket) continue;
      this.#asked.delete(id);
      asked.resolve({});
    }
  }

  #receive(line) {
    let message;
    try {
      message = JSON.parse(line);
    } catch {
      message = undefined;
    }
    if (message === null || typeof message !== 'object' || message.id === undefined) {
      this.#log.warn({ length: line.length }, 'skipped a line: not a message');
    } else if (typeof message.op === 'string') {
      void this.#serve(message);
    } else {
      this.#settle(message);
    }
  }

  async #serve({ id, op, ...fields }) {
    let answer;
    try {
      if (!Object.hasOwn(this.#handlers, op)) throw new Error(`unknown op: ${op}`);
      answer = { ok: true, ...(await this.#handlers[op](fields)) };
    } catch (error) {
      answer = { ok: false, error: error.message };
    }
    this.#writer.write({ id, ...answer });
  }

  #settle({ id, ok, error, ...fields }) {
    const asked = this.#asked.get(id);
    if (!asked) return; // its socket ended meanwhile
    this.#asked.delete(id);
    if (ok === true) asked.resolve(fields);
    else asked.reject(error === 'stale' ? new StaleEpoch('stale') : new Error(String(error ?? 'refused')));
  }
}
