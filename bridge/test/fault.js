/** Preloaded into a bridge by a test: a bug in whatever the second socket does with its first message. */

import WebSocket from 'ws';

const emit = WebSocket.prototype.emit;
const seen = new Set();

WebSocket.prototype.emit = function (event, ...args) {
  if (event === 'message' && !seen.has(this)) {
    seen.add(this);
    if (seen.size === 2) {
      setTimeout(() => {
        throw new Error('a bug');
      }, 0);
    }
  }
  return emit.call(this, event, ...args);
};
