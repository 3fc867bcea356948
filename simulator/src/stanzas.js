/** What the server says. Each function returns one binary node; who sends it and when is decided elsewhere. */

export const SERVER = '@s.whatsapp.net';

/** First child with that tag, or undefined. */
export const child = (node, tag) =>
  Array.isArray(node?.content) ? node.content.find(inner => inner.tag === tag) : undefined;

const seconds = () => String(Math.floor(Date.now() / 1000));

/** The answer to an iq; with no content it says no more than "done". */
export const result = (id, content) => ({ tag: 'iq', attrs: { from: SERVER, type: 'result', id }, content });

export const iqError = (id, code, text) => ({
  tag: 'iq',
  attrs: { from: SERVER, type: 'error', id },
  content: [{ tag: 'error', attrs: { code: String(code), text } }],
});

/** Offers QR codes: one per ref. */
export const pairDevice = (id, refs) => ({
  tag: 'iq',
  attrs: { from: SERVER, type: 'set', id, xmlns: 'md' },
  content: [
    { tag: 'pair-device', attrs: {}, content: refs.map(ref => ({ tag: 'ref', attrs: {}, content: Buffer.from(ref) })) },
  ],
});

/** Tells the client that a phone has scanned, and which device it becomes. */
export const pairSuccess = (id, { identity, jid, lid, platform, businessName }) => ({
  tag: 'iq',
  attrs: { from: SERVER, type: 'set', id, xmlns: 'md', t: seconds() },
  content: [
    {
      tag: 'pair-success',
      attrs: {},
      content: [
        { tag: 'device-identity', attrs: {}, content: identity },
        { tag: 'device', attrs: { jid, lid } },
        { tag: 'platform', attrs: { name: platform } },
        ...(businessName ? [{ tag: 'biz', attrs: { name: businessName } }] : []),
      ],
    },
  ],
});

export const passkeyRequest = id => ({
  tag: 'notification',
  attrs: { from: SERVER, type: 'passkey_prologue_request', id, t: seconds() },
  content: [{ tag: 'passkey_prologue_request', attrs: {} }],
});

/** The phone's part of linking with a code. */
export const primaryHello = (id, { wrappedKey, identityKey, ref }) => ({
  tag: 'notification',
  attrs: { from: SERVER, type: 'link_code_companion_reg', id, t: seconds() },
  content: [
    {
      tag: 'link_code_companion_reg',
      attrs: { stage: 'primary_hello' },
      content: [
        { tag: 'link_code_pairing_wrapped_primary_ephemeral_pub', attrs: {}, content: wrappedKey },
        { tag: 'primary_identity_pub', attrs: {}, content: identityKey },
        { tag: 'link_code_pairing_ref', attrs: {}, content: ref },
      ],
    },
  ],
});

/** Answers a client that wants to be linked with a code. */
export const linkCodeRef = (id, ref) =>
  result(id, [
    {
      tag: 'link_code_companion_reg',
      attrs: { stage: 'companion_hello' },
      content: [{ tag: 'link_code_pairing_ref', attrs: {}, content: ref }],
    },
  ]);

export const success = lid => ({ tag: 'success', attrs: { t: seconds(), lid, location: 'simulator' } });

export const offlineDone = () => ({
  tag: 'ib',
  attrs: { from: SERVER },
  content: [{ tag: 'offline', attrs: { count: '0' } }],
});

/** Refuses a login or a registration. */
export const failure = reason => ({ tag: 'failure', attrs: { reason: String(reason), location: 'simulator' } });

/** Ends a connection; without a code the client takes it for a bad session (500). */
export const streamError = code => ({ tag: 'stream:error', attrs: code === null ? {} : { code: String(code) } });

export const deviceRemoved = () => ({
  tag: 'stream:error',
  attrs: { code: '401' },
  content: [{ tag: 'conflict', attrs: { type: 'device_removed' } }],
});

export const replaced = () => ({
  tag: 'stream:error',
  attrs: {},
  content: [{ tag: 'conflict', attrs: { type: 'replaced' } }],
});

export const preKeyCount = (id, count) => result(id, [{ tag: 'count', attrs: { value: String(count) } }]);

/** The key bundle the server holds; the client only looks whether there is one. */
export const keyDigest = (id, { registrationId, identityKey }) =>
  result(id, [
    {
      tag: 'digest',
      attrs: {},
      content: [
        { tag: 'registration', attrs: {}, content: registrationId },
        { tag: 'type', attrs: {}, content: Buffer.from([5]) },
        { tag: 'identity', attrs: {}, content: identityKey },
      ],
    },
  ]);
