/** Plays Python's part: speaks the wire with a bridge, and keeps an auth store per session. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

export const MAIN = fileURLToPath(new URL('../src/main.js', import.meta.url));

const WAIT_MS = 15_000;

export class Driver {
  #input;
  #rest = '';
  #ids = 0;
  #asked = new Map();
  #waiting = [];
  /** Everything the bridge sent that is no answer, in order; `next` takes from it. */
  messages = [];
  /** session → field → text */
  stores = new Map();
  /** Requests of the bridge, in order: `{op, session, fields | values}`. */
  requests = [];
  /** Decides about a request instead of the store: an answer, a promise of one, or undefined. */
  answer = () => undefined;

  /** @param {import('node:stream').Writable} input the bridge's @param {import('node:stream').Readable} output */
  constructor(input, output) {
    this.#input = input;
    output.setEncoding('utf8');
    output.on('data', text => {
      const lines = (this.#rest + text).split('\n');
      this.#rest = lines.pop();
      for (const line of lines) void this.#receive(JSON.parse(line));
    });
  }

  raw(text) {
    this.#input.write(text);
  }

  /** @returns {Promise<object>} the answer, whatever it says */
  request(op, fields = {}) {
    const id = ++this.#ids;
    return within(`an answer to ${op}`, resolve => {
      this.#asked.set(id, resolve);
      this.raw(`${JSON.stringify({ id, op, ...fields })}\n`);
    });
  }

  async open(session, socket, creds = null) {
    const answer = await this.request('open', { session, epoch: 1, socket, creds });
    if (!answer.ok) throw new Error(answer.error);
    return socket;
  }

  /** The next message that fits; those before it are passed over. */
  next(event, socket) {
    const fits = message => message.event === event && (socket === undefined || message.socket === socket);
    const at = this.messages.findIndex(fits);
    if (at >= 0) return Promise.resolve(this.messages.splice(0, at + 1).at(-1));
    return within(`${event} of socket ${socket}`, resolve => this.#waiting.push({ fits, resolve }));
  }

  /** Links a session: its socket is gone afterwards, its credentials are in the store. */
  async link(session, socket, simulator, rules) {
    await this.open(session, socket);
    const { text } = await this.next('qr', socket);
    const device = await simulator.scan(text, { then: rules });
    await this.next('closed', socket);
    return device;
  }

  creds(session) {
    return this.stores.get(session).get('creds');
  }

  async #receive(message) {
    if (message.op) {
      this.requests.push(message);
      const answer = (await this.answer(message)) ?? this.#serve(message);
      this.raw(`${JSON.stringify({ id: message.id, ...answer })}\n`);
    } else if (message.event) {
      const at = this.#waiting.findIndex(({ fits }) => fits(message));
      if (at < 0) this.messages.push(message);
      else this.#waiting.splice(at, 1)[0].resolve(message);
    } else {
      this.#asked.get(message.id)?.(message);
      this.#asked.delete(message.id);
    }
  }

  #serve({ op, session, fields, values }) {
    if (!this.stores.has(session)) this.stores.set(session, new Map());
    const store = this.stores.get(session);
    if (op === 'keys-get') {
      return { ok: true, values: Object.fromEntries(fields.filter(name => store.has(name)).map(name => [name, store.get(name)])) };
    }
    for (const [name, text] of Object.entries(values)) text === null ? store.delete(name) : store.set(name, text);
    return { ok: true };
  }
}

/** A bridge as a process. `stderr` collects what it logs; `end` closes its input and resolves with its exit status. */
export async function startBridge(env = {}, { args = [] } = {}) {
  const child = spawn(process.execPath, [...args, MAIN], { env: { PATH: process.env.PATH, ...env } });
  const exited = once(child, 'close'); // its output was read to the end, too
  const driver = new Driver(child.stdin, child.stdout);
  driver.pid = child.pid;
  driver.child = child;
  driver.exited = exited.then(([status]) => status);
  driver.stderr = '';
  child.stderr.setEncoding('utf8').on('data', text => {
    driver.stderr += text;
  });
  driver.end = async () => {
    child.stdin.end();
    return within('the end of the bridge', resolve => void driver.exited.then(resolve));
  };
  driver.hello = await Promise.race([driver.next('hello'), driver.exited.then(() => undefined)]);
  return driver;
}

/** @param {(resolve: (value: any) => void) => void} start */
export async function within(what, start, ms = WAIT_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([new Promise(start), late]);
  } finally {
    clearTimeout(timer);
  }
}
