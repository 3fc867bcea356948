import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { after, test } from 'node:test';
import { startSimulator } from '@relink/simulator';
import { WebSocket } from 'ws';
import { event } from './client.js';
import { frame, FrameReader } from '../src/frames.js';
import { Journal } from '../src/journal.js';
import { Outbox } from '../src/outbox.js';

const simulator = await startSimulator();
after(() => simulator.close());

const HEADER = Buffer.from('WA\x06\x03', 'latin1');
const ROUTED = Buffer.concat([Buffer.from('ED\0\x01\0\0\x03abc', 'latin1'), HEADER]);

for (const [name, intro] of [
  ['plain', HEADER],
  ['with routing information', ROUTED],
]) {
  test(`frames are cut the same however they arrive: intro ${name}`, () => {
    const bytes = Buffer.concat([
      intro,
      frame(Buffer.from('one')),
      frame(Buffer.alloc(0)),
      frame(Buffer.alloc(9_000, 7)),
    ]);
    for (const size of [1, 2, 5, 1_000, bytes.length]) {
      const reader = new FrameReader();
      const frames = [];
      for (let at = 0; at < bytes.length; at += size) frames.push(...reader.push(bytes.subarray(at, at + size)));
      assert.deepEqual(
        frames.map(one => one.length),
        [3, 0, 9_000],
        `in pieces of ${size}`,
      );
      assert.deepEqual(reader.header, HEADER);
    }
  });
}

test('what does not begin as a WhatsApp client does is refused', () => {
  assert.throws(() => new FrameReader().push(Buffer.from('GET / HTTP/1.1')), /not those of a WhatsApp Web client/);
});

test('the outbox keeps its order whatever the delays, and while it is held', async () => {
  const outbox = new Outbox();
  const done = [];
  outbox.push(() => done.push(1), 20);
  outbox.push(() => done.push(2), 0);
  await new Promise(resolve => outbox.push(resolve, 5));
  assert.deepEqual(done, [1, 2]);
  outbox.hold();
  outbox.push(() => done.push(3));
  const all = new Promise(resolve => outbox.push(() => resolve(done.push(4))));
  assert.deepEqual(done, [1, 2]);
  outbox.release();
  await all;
  assert.deepEqual(done, [1, 2, 3, 4]);
  outbox.push(() => done.push(5), 1);
  outbox.clear();
  outbox.push(() => done.push(6));
  assert.deepEqual(done, [1, 2, 3, 4, 6]);
});

test('the journal forgets the oldest, and says so', () => {
  const journal = new Journal(100);
  for (let index = 0; index < 1_000; index++) journal.record('ping');
  const { events, last, oldest } = journal.read({ after: 0, limit: 5_000 });
  assert.equal(last, 1_000);
  assert.equal(events[0].n, oldest);
  assert.ok(events.length >= 100 && events.length <= 125);
  assert.equal(journal.counters(0).totals.pings, 1_000);
});

test('the journal gives pages, and waits for what is asked for only', async () => {
  const journal = new Journal();
  for (const type of ['ping', 'login', 'ping', 'login', 'ping']) journal.record(type);
  const first = journal.read({ type: 'ping', limit: 2 });
  assert.deepEqual([first.events.map(({ n }) => n), first.last], [[1, 3], 3]);
  assert.deepEqual(
    journal.read({ type: 'ping', after: first.last }).events.map(({ n }) => n),
    [5],
  );
  const waited = journal.wait({ after: 5, type: 'login', waitMs: 5_000 });
  journal.record('ping');
  journal.record('login');
  assert.deepEqual(
    (await waited).events.map(({ n }) => n),
    [7],
  );
  assert.deepEqual(await journal.wait({ after: 7, waitMs: 5 }), { events: [], last: 7, oldest: 1 });
});

for (const [name, bytes] of [
  ['no WhatsApp client', Buffer.from('hello')],
  ['a hello that is no protobuf', Buffer.concat([HEADER, frame(Buffer.from([0xff, 0xff, 0xff]))])],
  ['a hello without a key', Buffer.concat([HEADER, frame(Buffer.alloc(0))])],
  [
    'a key of low order',
    Buffer.concat([HEADER, frame(Buffer.concat([Buffer.from([0x12, 0x22, 0x0a, 0x20]), Buffer.alloc(32)]))]),
  ],
]) {
  test(`rubbish on the WebSocket ends that connection and nothing else: ${name}`, async () => {
    const { last } = await simulator.events();
    const socket = new WebSocket(simulator.url);
    await once(socket, 'open');
    socket.send(bytes);
    await once(socket, 'close');
    await event(simulator, 'protocol_error', { after: last });
    assert.deepEqual(simulator.sockets(), []);
  });
}

test('rubbish below the WebSocket ends that connection and nothing else', async () => {
  const { last } = await simulator.events();
  const socket = createConnection(simulator.port, '127.0.0.1');
  const headers = [
    'GET /ws/chat HTTP/1.1',
    'Host: 127.0.0.1',
    'Upgrade: websocket',
    'Connection: Upgrade',
    'Sec-WebSocket-Version: 13',
    `Sec-WebSocket-Key: ${'A'.repeat(22)}==`,
  ];
  socket.write(`${headers.join('\r\n')}\r\n\r\n`);
  await once(socket, 'data');
  socket.write(Buffer.alloc(32, 0xff));
  await once(socket.resume(), 'close');
  await event(simulator, 'protocol_error', { after: last });
});

test('a WebSocket at another path is refused with 404', async () => {
  const [error] = await once(new WebSocket(simulator.url.replace('chat', 'cat')), 'error');
  assert.equal(error.message, 'Unexpected server response: 404');
});
