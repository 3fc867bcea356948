/** The control API: paths and their meaning. `docs/simulator.md` shows each with curl. */
import { closeCode, wholeNumber } from './behaviour.js';
import { invalid, notFound, SimulatorError } from './errors.js';
import { readBody, refuseForeign, sendJson, sendProblem } from './http.js';
import { EVENTS } from './journal.js';
import { VERBS } from './rules.js';

const SOCKET_VERBS = ['cut', 'silence', 'resume', 'close'];
const MAX_WAIT_MS = 60_000;

/** Refuses fields that mean nothing here: a misspelt one would otherwise be ignored in silence. */
function only(body, ...known) {
  const unknown = Object.keys(body).find(name => !known.includes(name));
  if (unknown !== undefined) throw invalid(`${unknown} means nothing here. Known: ${known.join(', ') || 'no fields'}.`);
  return body;
}

const text = (name, value) => {
  if (value === undefined || (typeof value === 'string' && value.length <= 200)) return value;
  throw invalid(`${name}: a text of at most 200 characters.`);
};

const optional = (parse, name, value) => (value === undefined || value === null ? undefined : parse(name, value));

const chosenDevice = value => {
  if (value === undefined || value === null || typeof value === 'string' || typeof value === 'number')
    return value ?? null;
  throw invalid('device: a jid or a device number.');
};

const numberIn = (query, name, least, most) =>
  query.has(name) ? wholeNumber(least, most)(name, Number(query.get(name) || NaN)) : undefined;

const codeIn = body => optional(closeCode, 'code', body.code) ?? null;

/**
 * Every route: method and path, `:name` standing for one segment, and what it does. A handler gets the simulator and
 * `{ params, body, query, signal }`, and returns what to answer, or `[status, answer]`.
 */
const ROUTES = [
  ['GET /health', (simulator, { settings }) => ({ status: 'ok', version: settings.version })],
  [
    'GET /settings',
    (simulator, { settings }) => ({ WHATSAPP_URL: settings.url, WHATSAPP_ROOT_KEY: simulator.rootKey }),
  ],

  ['GET /phones', simulator => ({ phones: [...simulator.phones].map(phone => phone.describe()) })],
  ['POST /phones', addPhone],
  ['GET /phones/:phone', (simulator, { params }) => simulator.phones.get(params.phone).describe()],
  ['DELETE /phones/:phone', (simulator, { params }) => ({ deleted: simulator.deletePhone(params.phone).phone })],
  ['POST /phones/:phone/scan', scan],
  ['POST /phones/:phone/code', enterCode],
  ['POST /phones/:phone/then', addRules],
  ['GET /phones/:phone/behaviour', (simulator, { params }) => simulator.phones.get(params.phone).behaviour.describe()],
  [
    'PUT /phones/:phone/behaviour',
    (simulator, { params, body }) => setBehaviour(simulator.phones.get(params.phone).behaviour, 'replace', body),
  ],
  [
    'PATCH /phones/:phone/behaviour',
    (simulator, { params, body }) => setBehaviour(simulator.phones.get(params.phone).behaviour, 'patch', body),
  ],
  ...VERBS.map(verb => [`POST /phones/:phone/${verb}`, command(verb)]),

  [
    'GET /sockets',
    simulator => ({ sockets: [...simulator.connections.values()].map(connection => connection.describe()) }),
  ],
  ...SOCKET_VERBS.map(verb => [`POST /sockets/${verb}`, disturb(verb)]),
  ...SOCKET_VERBS.map(verb => [`POST /sockets/:socket/${verb}`, disturb(verb)]),

  ['GET /behaviour', simulator => simulator.behaviour.describe()],
  ['PUT /behaviour', (simulator, { body }) => setBehaviour(simulator.behaviour, 'replace', body)],
  ['PATCH /behaviour', (simulator, { body }) => setBehaviour(simulator.behaviour, 'patch', body)],

  ['GET /counters', simulator => simulator.counters()],
  ['GET /events', events],
  ['POST /reset', (simulator, { body }) => (only(body), simulator.reset(), { reset: true })],
].map(([route, handler]) => {
  const [method, path] = route.split(' ');
  return { method, path, segments: path.slice(1).split('/'), handler };
});

/** Every method and path there is, such as `POST /phones/:phone/scan`. */
export const PATHS = ROUTES.map(({ method, path }) => `${method} ${path}`);

function addPhone(simulator, { body }) {
  const { phone, name, platform } = only(body, 'phone', 'name', 'platform');
  const number = typeof phone === 'number' ? String(phone) : text('phone', phone);
  const added = simulator.phones.add({ phone: number, name: text('name', name), platform: text('platform', platform) });
  return [201, added.describe()];
}

async function scan(simulator, { params, body }) {
  const { qr, then, timeout_ms: timeout } = only(body, 'qr', 'then', 'timeout_ms');
  const timeoutMs = optional(wholeNumber(1, 120_000), 'timeout_ms', timeout);
  return linked(await simulator.scan(params.phone, { qr, then, timeoutMs }));
}

async function enterCode(simulator, { params, body }) {
  const { code, then, timeout_ms: timeout } = only(body, 'code', 'then', 'timeout_ms');
  const timeoutMs = optional(wholeNumber(1, 120_000), 'timeout_ms', timeout);
  return linked(await simulator.enterCode(params.phone, { code, then, timeoutMs }));
}

const linked = ({ jid, lid, name, platform }) => ({ jid, lid, name, platform });

function addRules(simulator, { params, body }) {
  const { device, ...then } = body;
  return { devices: simulator.addRules(params.phone, { device: chosenDevice(device), then }) };
}

function command(verb) {
  const fields = verb === 'close' ? ['device', 'code'] : ['device'];
  return (simulator, { params, body }) => {
    only(body, ...(verb.endsWith('ban') ? [] : fields));
    return {
      devices: simulator.command(params.phone, { verb, device: chosenDevice(body.device), code: codeIn(body) }),
    };
  };
}

function disturb(verb) {
  return (simulator, { params, body }) => {
    only(body, ...(verb === 'close' ? ['code'] : []));
    const id = params.socket === undefined ? null : Number(params.socket);
    if (Number.isNaN(id)) throw notFound(`${params.socket} is not the number of a socket.`);
    return { sockets: simulator.disturb(id, { verb, code: codeIn(body) }) };
  };
}

function setBehaviour(behaviour, how, body) {
  behaviour[how](body);
  return behaviour.describe();
}

async function events(simulator, { query, signal }) {
  const type = query.get('type') ?? undefined;
  if (type !== undefined && !(type in EVENTS)) throw invalid(`type: one of ${Object.keys(EVENTS).join(', ')}.`);
  return simulator.journal.wait({
    after: numberIn(query, 'after', 0, Number.MAX_SAFE_INTEGER),
    limit: numberIn(query, 'limit', 1, 10_000),
    waitMs: numberIn(query, 'wait_ms', 0, MAX_WAIT_MS),
    socket: numberIn(query, 'socket', 1, Number.MAX_SAFE_INTEGER),
    phone: query.get('phone') ?? undefined,
    jid: query.get('jid') ?? undefined,
    type,
    signal,
  });
}

function match(segments, path) {
  if (segments.length !== path.length) return null;
  const params = {};
  for (const [index, segment] of segments.entries()) {
    if (segment.startsWith(':')) params[segment.slice(1)] = path[index];
    else if (segment !== path[index]) return null;
  }
  return params;
}

function route(method, path) {
  const found = ROUTES.map(entry => ({ ...entry, params: match(entry.segments, path) })).filter(
    ({ params }) => params !== null,
  );
  if (found.length === 0) throw notFound(`There is nothing at /${path.join('/')}. docs/simulator.md lists every path.`);
  const exact = found.find(entry => entry.method === method);
  const allowed = [...new Set(found.map(entry => entry.method))].join(', ');
  if (!exact) throw new SimulatorError(405, `/${path.join('/')} takes ${allowed}, not ${method}.`, { Allow: allowed });
  return exact;
}

const decode = segment => {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw notFound('The path is not well-formed.');
  }
};

/**
 * The handler for a `node:http` server.
 * @param {import('./simulator.js').Simulator} simulator
 * @param {{ url: string, version: string }} settings read at each request, since the port is known late
 */
export function makeControl(simulator, settings) {
  return async (request, response) => {
    const gone = new AbortController();
    response.on('close', () => gone.abort());
    try {
      refuseForeign(request);
      const [path, query = ''] = request.url.split('?', 2);
      const { handler, params } = route(request.method, path.slice(1).split('/').map(decode));
      const body = request.method === 'GET' ? {} : await readBody(request);
      const answer = await handler(simulator, {
        params,
        body,
        query: new URLSearchParams(query),
        signal: gone.signal,
        settings,
      });
      const [status, content] = Array.isArray(answer) ? answer : [200, answer];
      sendJson(response, status, content);
    } catch (error) {
      sendProblem(response, error);
    }
  };
}
