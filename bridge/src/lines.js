/** Lines in, lines out: the transport below docs/wire.md. */

export const MAX_LINE = 16 * 1024 * 1024;

const NEWLINE = 0x0a;

/**
 * Calls `onLine` with each line of `input`, and `onTooLong` once for each that exceeds `maxLine` bytes and is skipped.
 * @param {import('node:stream').Readable} input
 * @param {(line: string) => void} onLine
 * @param {() => void} onTooLong
 */
export function readLines(input, onLine, onTooLong, maxLine = MAX_LINE) {
  let parts = [];
  let size = 0;
  let skipping = false;
  input.on('data', chunk => {
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
      keep(chunk.subarray(from, at));
      if (!skipping) onLine(Buffer.concat(parts, size).toString('utf8'));
      parts = [];
      size = 0;
      skipping = false;
      from = at + 1;
    }
    keep(chunk.subarray(from));
  });

  function keep(part) {
    if (skipping || part.length === 0) return;
    size += part.length;
    parts.push(part);
    if (size <= maxLine) return;
    parts = [];
    skipping = true;
    onTooLong();
  }
}

/** Writes lines in order. While the reader lags by more than `highWater` bytes, `onPressure(true)` holds. */
export class LineWriter {
  #output;
  #highWater;
  #onPressure;
  #pressed = false;

  /**
   * @param {import('node:stream').Writable} output
   * @param {(pressed: boolean) => void} onPressure
   */
  constructor(output, onPressure, highWater = 4 * 1024 * 1024) {
    this.#output = output;
    this.#onPressure = onPressure;
    this.#highWater = highWater;
    output.on('drain', () => this.#press(false));
  }

  /** @throws {RangeError} when the line would be longer than the other side accepts */
  write(message) {
    const line = `${JSON.stringify(message)}\n`;
    if (Buffer.byteLength(line) > MAX_LINE) throw new RangeError('message too long');
    this.#output.write(line);
    if (this.#output.writableLength > this.#highWater) this.#press(true);
  }

  #press(pressed) {
    if (pressed === this.#pressed) return;
    this.#pressed = pressed;
    this.#onPressure(pressed);
  }
}
