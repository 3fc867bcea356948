/**
 * Real socket.io-client connections on command: one JSON object a line in, one JSON object a line out.
 *
 *   {"op": "connect", "client": "a", "url": "http://127.0.0.1:3001", "options": {…}}
 *   {"op": "emit", "client": "a", "event": "subscribe", "args": [{…}], "ack": 7}     "ack": ask for an acknowledgement
 *   {"op": "close", "client": "a"}
 *
 * Out: {"client": "a", "event": "connect", "args": []} for whatever the client hears ("connect", "connect_error" and
 * "disconnect" included), and {"client": "a", "ack": 7, "args": […]}. Ends when its standard input does.
 */

import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const clients = new Map();

function say(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

function connect({ client, url, options }) {
  const socket = io(url, { forceNew: true, ...options });
  clients.set(client, socket);
  socket.on("connect", () => say({ client, event: "connect", args: [] }));
  socket.on("disconnect", (reason) => say({ client, event: "disconnect", args: [reason] }));
  socket.on("connect_error", (error) =>
    say({ client, event: "connect_error", args: [{ message: error.message, data: error.data ?? null }] }),
  );
  socket.onAny((event, ...args) => say({ client, event, args }));
}

function emit({ client, event, args = [], ack }) {
  const callback = ack === undefined ? [] : [(...answer) => say({ client, ack, args: answer })];
  clients.get(client).emit(event, ...args, ...callback);
}

const operations = { connect, emit, close: ({ client }) => clients.get(client).close() };

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  operations[command.op](command);
}
for (const socket of clients.values()) socket.close();
process.exit(0); // a request of the polling transport may still be open
