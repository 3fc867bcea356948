/**
 * What a server still has to do on one connection, in order: each step at once, after a delay, or, while the line is
 * held, later. Order is kept whatever the delays are, as TCP would.
 */
export class Outbox {
  #steps = [];
  #due = 0;
  #held = false;
  #timer = null;

  /** @param {() => void} step @param {number} delayMs */
  push(step, delayMs = 0) {
    if (this.#steps.length === 0 && !this.#held && delayMs === 0) return step();
    this.#due = Math.max(this.#due, Date.now() + delayMs);
    this.#steps.push({ step, due: this.#due });
    this.#arm();
  }

  hold() {
    this.#held = true;
    clearTimeout(this.#timer);
  }

  release() {
    this.#held = false;
    this.#arm();
  }

  /** Forgets what has not happened yet. */
  clear() {
    clearTimeout(this.#timer);
    this.#steps = [];
  }

  #arm() {
    clearTimeout(this.#timer);
    if (this.#held || this.#steps.length === 0) return;
    this.#timer = setTimeout(() => this.#run(), Math.max(0, this.#steps[0].due - Date.now()));
  }

  #run() {
    while (!this.#held && this.#steps.length > 0 && this.#steps[0].due <= Date.now()) this.#steps.shift().step();
    this.#arm();
  }
}
