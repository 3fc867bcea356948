import assert from 'node:assert/strict';
import { PassThrough, Writable } from 'node:stream';
import { test } from 'node:test';

import { LineWriter, readLines } from '../src/lines.js';

function collect(maxLine) {
  const input = new PassThrough();
  const lines = [];
  let tooLong = 0;
  readLines(input, line => lines.push(line), () => tooLong++, maxLine);
  return { input, lines, tooLong: () => tooLong };
}

test('lines come whole, however they are cut', () => {
  const text = 'one\nzwölf €\n\n{"a":1}\n';
  const bytes = Buffer.from(text);
  for (let size = 1; size <= bytes.length; size++) {
    const { input, lines } = collect(100);
    for (let at = 0; at < bytes.length; at += size) input.write(bytes.subarray(at, at + size));
    assert.deepEqual(lines, ['one', 'zwölf €', '', '{"a":1}']);
  }
});

test('a line above the cap is skipped and reported once, those around it are kept', () => {
  const { input, lines, tooLong } = collect(10);
  for (const part of ['ok\n', 'x'.repeat(8), 'x'.repeat(8), 'x'.repeat(100), '\nfine\n', '0123456789\n', '01234567890\nend\n']) {
    input.write(part);
  }
  assert.deepEqual(lines, ['ok', 'fine', '0123456789', 'end']);
  assert.equal(tooLong(), 2);
});

test('a reader that lags is noticed, and so is that it caught up', async () => {
  const pending = [];
  const output = new Writable({ write: (chunk, _, done) => pending.push(done), highWaterMark: 16 });
  const pressure = [];
  const writer = new LineWriter(output, pressed => pressure.push(pressed), 100);
  for (let n = 0; n < 5; n++) writer.write({ n });
  assert.deepEqual(pressure, []);
  for (let n = 0; n < 20; n++) writer.write({ n });
  assert.deepEqual(pressure, [true]);
  while (output.writableLength > 0) {
    pending.shift()();
    await new Promise(setImmediate);
  }
  assert.deepEqual(pressure, [true, false]);
});

test('a message that the other side would not accept is refused here', () => {
  const writer = new LineWriter(new PassThrough(), () => {});
  assert.throws(() => writer.write({ text: 'x'.repeat(16 * 1024 * 1024) }), RangeError);
});
