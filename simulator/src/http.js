/** JSON over `node:http`: reading bodies, answering, problems. Knows nothing of WhatsApp. */
import { STATUS_CODES } from 'node:http';
import { invalid, SimulatorError } from './errors.js';

const MAX_BODY_BYTES = 64 * 1024;

/** Whether `host` (a name or address, without port) can only mean this machine. */
export function isLoopback(host) {
  const name = host.replace(/^\[|\]$/g, '').toLowerCase();
  return name === 'localhost' || name.endsWith('.localhost') || name === '::1' || /^127(\.\d{1,3}){3}$/.test(name);
}

/** Keeps web pages out: they can reach a loopback port, but cannot hide where they come from. */
export function refuseForeign(request) {
  const { host, origin } = request.headers;
  if (!isLoopback(hostOf(`http://${host ?? ''}`)) || (origin !== undefined && !isLoopback(hostOf(origin)))) {
    throw new SimulatorError(
      403,
      'The control API answers only programs and pages of this machine (Host and Origin must be loopback).',
    );
  }
}

function hostOf(url) {
  try {
    return new URL(url).hostname;
  } catch {
    return '';
  }
}

/** @returns {Promise<object>} the JSON object in the body; `{}` for an empty one */
export async function readBody(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    // A larger one is read to its end: a client that cannot finish sending does not see the answer.
    if (size <= MAX_BODY_BYTES) chunks.push(chunk);
  }
  if (size > MAX_BODY_BYTES) throw new SimulatorError(413, `The body is larger than ${MAX_BODY_BYTES} bytes.`);
  if (size === 0) return {};
  const body = parseJson(Buffer.concat(chunks).toString('utf8'));
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw invalid('The body must be a JSON object.');
  return body;
}

function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw invalid(`The body is not JSON: ${error.message}`);
  }
}

export function sendJson(response, status, body) {
  const bytes = Buffer.from(`${JSON.stringify(body)}\n`);
  response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': bytes.length });
  response.end(bytes);
}

/** RFC 9457. What is not a `SimulatorError` is a bug: 500, and the stack goes to standard error. */
export function sendProblem(response, error) {
  if (response.headersSent || response.destroyed) return;
  const expected = error instanceof SimulatorError;
  if (!expected) process.stderr.write(`${error?.stack ?? error}\n`);
  const status = expected ? error.status : 500;
  const detail = expected ? error.message : 'The simulator made a mistake; its standard error says which.';
  const bytes = Buffer.from(
    `${JSON.stringify({ type: 'about:blank', title: STATUS_CODES[status], status, detail })}\n`,
  );
  response.writeHead(status, {
    'Content-Type': 'application/problem+json',
    'Content-Length': bytes.length,
    ...(expected ? error.headers : {}),
  });
  response.end(bytes);
}
