/**
 * A program as users of the npm library `baileys-redis-auth` have it: Baileys with its auth state in Redis, key by key.
 * The two stores are written from the library's documented behaviour, so that a session can change hands both ways.
 *
 *   node baileys-redis-auth-program.js LAYOUT SESSION REDIS_SOCKET WHATSAPP_URL WHATSAPP_ROOT_KEY
 *
 * LAYOUT: `hset` (useRedisAuthStateWithHSet) or `keys` (useRedisAuthState). Prints JSON lines: {"qr": …}, {"open": jid},
 * {"closed": code}. It runs until its standard input closes, then leaves without logging out.
 */

import makeWASocket, { BufferJSON, initAuthCreds, proto, WA_CERT_DETAILS } from 'baileys';
import Redis from 'ioredis';

const [layout, session, socketPath, waWebSocketUrl, rootKey] = process.argv.slice(2);
const redis = new Redis({ path: socketPath });
const say = message => process.stdout.write(`${JSON.stringify(message)}\n`);

const nothing = () => {};
const logger = { level: 'silent', trace: nothing, debug: nothing, info: nothing, warn: nothing, error: nothing };
logger.child = () => logger;

const fieldOf = key => key.replace(/\//g, '__').replace(/:/g, '-');

const STORES = {
  hset: {
    read: field => redis.hget(`${session}:auth`, fieldOf(field)),
    write: (field, text) => redis.hset(`${session}:auth`, fieldOf(field), text),
    remove: field => redis.hdel(`${session}:auth`, fieldOf(field)),
  },
  keys: {
    read: field => redis.get(`${session}:${fieldOf(field)}`),
    write: (field, text) => redis.set(`${session}:${fieldOf(field)}`, text),
    remove: field => redis.del(`${session}:${fieldOf(field)}`),
  },
};

async function useRedisAuth({ read, write, remove }) {
  const get = async field => JSON.parse(await read(field), BufferJSON.reviver);
  const set = (field, value) => write(field, JSON.stringify(value, BufferJSON.replacer));
  const creds = (await get('creds')) ?? initAuthCreds();
  const keys = {
    async get(type, ids) {
      const found = {};
      for (const id of ids) {
        let value = await get(`${type}-${id}`);
        if (type === 'app-state-sync-key' && value) value = proto.Message.AppStateSyncKeyData.fromObject(value);
        found[id] = value;
      }
      return found;
    },
    async set(data) {
      const writes = [];
      for (const [type, values] of Object.entries(data)) {
        for (const [id, value] of Object.entries(values)) {
          writes.push(value ? set(`${type}-${id}`, value) : remove(`${type}-${id}`));
        }
      }
      await Promise.all(writes);
    },
  };
  return { state: { creds, keys }, saveCreds: () => set('creds', creds) };
}

async function connect() {
  const { state, saveCreds } = await useRedisAuth(STORES[layout]);
  const socket = makeWASocket({ auth: state, waWebSocketUrl, logger, fireInitQueries: false });
  socket.ev.on('creds.update', saveCreds);
  socket.ev.on('connection.update', ({ connection, qr, lastDisconnect }) => {
    const code = lastDisconnect?.error?.output?.statusCode;
    if (qr) say({ qr });
    if (connection === 'open') say({ open: state.creds.me.id });
    if (connection === 'close') code === 515 ? void connect() : say({ closed: code ?? null });
  });
}

WA_CERT_DETAILS.PUBLIC_KEY = Buffer.from(rootKey, 'hex');
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
await connect();
