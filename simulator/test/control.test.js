import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import { after, beforeEach, test } from 'node:test';
import { startSimulator } from '@relink/simulator';
import { Client } from './client.js';

const simulator = await startSimulator();
beforeEach(() => simulator.reset());
after(() => simulator.close());

async function call(method, path, body, headers = {}) {
  const text = typeof body === 'string' || body === undefined ? body : JSON.stringify(body);
  const response = await fetch(simulator.controlUrl + path, { method, body: text, headers });
  const answer = await response.json();
  if (!response.ok) {
    assert.equal(response.headers.get('content-type'), 'application/problem+json');
    assert.equal(answer.status, response.status);
    assert.ok(answer.title && answer.detail);
  }
  return { status: response.status, headers: response.headers, ...answer };
}

const ok = async (...args) => {
  const { status, headers, ...answer } = await call(...args);
  assert.ok(status < 300, `${args[0]} ${args[1]}: ${status} ${answer.detail}`);
  return answer;
};

test('health and settings', async () => {
  const health = await fetch(`${simulator.controlUrl}/health`);
  assert.deepEqual(await health.json(), { status: 'ok', version: '0.1.0' });
  assert.deepEqual(await ok('GET', '/settings'), simulator.settings);
});

test('the whole story over HTTP', async () => {
  const { phone } = await ok('POST', '/phones', { phone: '+1 (555) 000-2002', name: 'Ada' });
  assert.equal(phone, '15550002002');
  const client = new Client(simulator);
  const { jid, lid } = await ok('POST', `/phones/%2B${phone}/scan`, {
    qr: await client.open().qr(),
    timeout_ms: 5_000,
  });
  assert.equal((await client.closed()).code, 515);
  await client.open().opened();
  const { phones } = await ok('GET', '/phones');
  assert.deepEqual(
    phones.map(({ phone: number, name, devices }) => [number, name, devices.length]),
    [
      ['15550001001', null, 0],
      [phone, 'Ada', 1],
    ],
  );
  const described = await ok('GET', `/phones/${phone}`);
  assert.deepEqual(
    [described.jid, described.devices[0].lid, described.devices[0].online],
    [`${phone}@s.whatsapp.net`, lid, true],
  );
  const { sockets } = await ok('GET', '/sockets');
  const own = sockets.find(socket => socket.jid === jid);
  assert.deepEqual([own.state, own.phone], ['online', phone]);
  assert.deepEqual(await ok('POST', `/phones/${phone}/logout`, { device: jid }), { devices: [jid] });
  assert.equal((await client.closed()).code, 401);
  const { devices, totals } = await ok('GET', '/counters');
  assert.deepEqual([devices[jid].logins, devices[jid].removals, totals.unlinks], [1, 1, 0]);
  const { events } = await ok('GET', `/events?jid=${encodeURIComponent(jid)}&type=removed`);
  assert.deepEqual([events.length, events[0].phone, Number.isNaN(Date.parse(events[0].at))], [1, phone, false]);
  assert.deepEqual(await ok('DELETE', `/phones/${phone}`), { deleted: phone });
  assert.equal((await call('GET', `/phones/${phone}`)).status, 404);
});

test('every command of a phone and of a socket is there, with an empty body too', async () => {
  for (const verb of ['logout', 'ban', 'unban', 'replace', 'cut', 'silence', 'resume', 'close']) {
    assert.deepEqual(await ok('POST', `/phones/default/${verb}`), { devices: [] });
    assert.equal((await call('POST', `/phones/4900000000/${verb}`, {})).status, 404);
  }
  for (const verb of ['cut', 'silence', 'resume', 'close']) {
    assert.deepEqual(await ok('POST', `/sockets/${verb}`), { sockets: [] });
    assert.equal((await call('POST', `/sockets/77/${verb}`)).status, 404);
    assert.equal((await call('POST', `/sockets/abc/${verb}`)).status, 404);
  }
});

test('close and rules over HTTP', async () => {
  const client = new Client(simulator);
  const { jid } = await client.connect();
  assert.deepEqual(await ok('POST', '/phones/default/then', { device: jid, on: 'close', do: 'logout' }), {
    devices: [jid],
  });
  assert.deepEqual(await ok('POST', '/phones/default/close', { code: 503 }), { devices: [jid] });
  assert.equal((await client.closed()).code, 503);
  assert.equal((await client.open().closed()).code, 401);
});

test('behaviour: read, patch, put; of the server and of a phone', async () => {
  const before = await ok('GET', '/behaviour');
  assert.equal((await ok('PATCH', '/behaviour', { refs: 2 })).refs, 2);
  assert.deepEqual(await ok('PATCH', '/behaviour', { no_qr: true }), { ...before, refs: 2, no_qr: true });
  assert.deepEqual(await ok('PUT', '/behaviour', { no_qr: true }), { ...before, no_qr: true });
  assert.deepEqual(await ok('PUT', '/behaviour', {}), before);
  assert.deepEqual(await ok('PATCH', '/behaviour', { ref_lifetime_ms: 500 }), {
    ...before,
    ref_lifetime_ms: { first: 500, next: 500 },
  });
  assert.deepEqual(await ok('PATCH', '/phones/default/behaviour', { passkey: true }), { passkey: true });
  assert.deepEqual(await ok('PUT', '/phones/default/behaviour', { login: 503 }), {
    login: { answer: 503, times: null },
  });
  assert.deepEqual(await ok('GET', '/phones/default/behaviour'), { login: { answer: 503, times: null } });
});

test('events: a long poll ends when something happens', async () => {
  const { last } = await ok('GET', '/events');
  const polled = ok('GET', `/events?after=${last}&type=banned&wait_ms=10000`);
  await ok('POST', '/phones/default/ban');
  const { events } = await polled;
  assert.deepEqual(
    events.map(({ type, phone }) => [type, phone]),
    [['banned', '15550001001']],
  );
  assert.deepEqual(await ok('GET', `/events?after=${events[0].n}&type=banned&wait_ms=10`), {
    events: [],
    last: events[0].n,
    oldest: (await ok('GET', '/events')).oldest,
  });
});

test('bad input: a clear problem, and nothing changes', async () => {
  const before = await ok('GET', '/behaviour');
  for (const [method, path, body, status, detail] of [
    ['POST', '/phones', '{', 422, /not JSON/],
    ['POST', '/phones', '[]', 422, /must be a JSON object/],
    ['POST', '/phones', 'null', 422, /must be a JSON object/],
    ['POST', '/phones', { phone: 'abc' }, 422, /^phone: 5 to 15 digits/],
    ['POST', '/phones', { phone: { $ne: 1 } }, 422, /^phone/],
    ['POST', '/phones', { phone: '15550001001' }, 409, /exists already/],
    ['POST', '/phones', { name: 'x'.repeat(201) }, 422, /^name/],
    ['POST', '/phones', { nam: 'x' }, 422, /^nam means nothing here/],
    ['POST', '/phones', `{"name": "${'x'.repeat(70_000)}"}`, 413, /larger than 65536/],
    ['POST', '/phones/default/scan', {}, 422, /^qr/],
    ['POST', '/phones/default/scan', { qr: 'x', timeout_ms: 0 }, 422, /^timeout_ms/],
    ['POST', '/phones/default/logout', { device: {} }, 422, /^device/],
    ['POST', '/phones/default/logout', { device: 9 }, 404, /no linked device 9/],
    ['POST', '/phones/default/logout', { devices: 9 }, 422, /^devices means nothing/],
    ['POST', '/phones/default/close', { code: 200 }, 422, /^code/],
    ['POST', '/phones/default/then', { on: 'login' }, 422, /^then\.do/],
    ['POST', '/sockets/close', { code: '503' }, 422, /^code/],
    ['PUT', '/behaviour', { refs: 99 }, 422, /^refs/],
    ['GET', '/events?after=x', undefined, 422, /^after/],
    ['GET', '/events?wait_ms=99999999', undefined, 422, /^wait_ms/],
    ['GET', '/events?type=nothing', undefined, 422, /^type: one of/],
    ['GET', '/nothing', undefined, 404, /nothing at \/nothing/],
    ['GET', '/%zz', undefined, 404, /not well-formed/],
    ['GET', '//', undefined, 404, /nothing at/],
    ['POST', '/phones/__proto__/logout', {}, 404, /no phone __proto__/],
    ['DELETE', '/behaviour', undefined, 405, /takes GET, PUT, PATCH, not DELETE/],
    ['GET', '/reset', undefined, 405, /takes POST/],
  ]) {
    const answer = await call(method, path, body);
    assert.equal(answer.status, status, `${method} ${path} ${JSON.stringify(body)?.slice(0, 60)}: ${answer.detail}`);
    assert.match(answer.detail, detail);
  }
  assert.equal((await call('DELETE', '/behaviour')).headers.get('allow'), 'GET, PUT, PATCH');
  assert.deepEqual(await ok('GET', '/behaviour'), before);
  assert.equal((await ok('GET', '/phones')).phones.length, 1);
});

const raw = headers =>
  new Promise((resolve, reject) => {
    const request = httpRequest(`${simulator.controlUrl}/health`, { headers }, response =>
      response.resume().on('end', () => resolve(response.statusCode)),
    );
    request.on('error', reject).end();
  });

test('web pages of elsewhere are kept out', async () => {
  assert.equal(await raw({}), 200);
  assert.equal(await raw({ Host: 'localhost:3002', Origin: 'http://localhost:3001' }), 200);
  assert.equal(await raw({ Host: 'evil.example' }), 403);
  assert.equal(await raw({ Origin: 'https://evil.example' }), 403);
  assert.equal(await raw({ Origin: 'null' }), 403);
});

test('reset over HTTP', async () => {
  await ok('POST', '/phones');
  assert.deepEqual(await ok('POST', '/reset'), { reset: true });
  assert.equal((await ok('GET', '/phones')).phones.length, 1);
});
