/** A client that is not linked yet: it is offered refs, one phone scans, it agrees, it is sent off to log in. */
import { conflict, gone, SimulatorError } from './errors.js'
import { isAgreement, makeRef, readRegistration, signDevice } from './pairing.js'
import { child, pairDevice, pairSuccess, passkeyRequest, result, streamError } from './stanzas.js'

export class Registration {
  /** The device that this client has become; null until it agreed. */
  device = null
  #connection
  #simulator
  #client
  #offer = null
  #left = false

  /** Takes a client on, or turns it away, as the behaviour says. */
  static admit(connection, simulator, { clientKey, payload }) {
    const client = readRegistration(payload.devicePairingData, clientKey)
    const answer = simulator.behaviour.take('register')
    if (answer !== 'accept') return connection.refuse('registration_refused', answer)
    connection.role = new Registration(connection, simulator, client)
    connection.state = 'linking'
    connection.note('registration', { name: client.name, platform: client.platform })
    if (!simulator.behaviour.get('no_qr')) connection.role.#offerRefs()
  }

  constructor(connection, simulator, client) {
    this.#connection = connection
    this.#simulator = simulator
    this.#client = client
  }

  receive(node) {
    if (node.tag !== 'iq') return
    const { id, type } = node.attrs
    if (id === this.#offer?.id) return this.#agreed(node)
    if (type === 'get' || type === 'set') this.#connection.send(result(id))
  }

  /** Whether a phone has scanned one of its codes. */
  get used() {
    return this.#offer !== null
  }

  /**
   * A phone has scanned one of the codes.
   * @param {import('./phones.js').Phone} phone
   * @param {ReturnType<typeof import('./pairing.js').parseQr>} qr
   * @param {import('./rules.js').Rule[]} rules what is to happen to the new device
   * @returns {Promise<import('./phones.js').Device>} once the client agreed; rejects when it does not
   */
  scanned(phone, qr, rules) {
    const { noiseKey, identityKey } = this.#client
    if (this.#left) throw this.used ? conflict('This QR code was used already.') : gone('The client that showed this QR code is gone.')
    if (!qr.noiseKey.equals(noiseKey) || !qr.identityKey.equals(identityKey)) throw conflict('The keys in this QR text are not those of the client that was given its ref.')
    if (phone.behaviour.get('passkey')) this.#demandPasskey(phone)
    if (this.#offer && this.#simulator.behaviour.get('first_scan_wins')) throw conflict(`This QR code was scanned already, by phone ${this.#offer.phone.phone}.`)
    this.#offer?.reject(conflict(`Phone ${phone.phone} scanned the same code, and its scan was taken instead.`))
    return this.#propose(phone, qr.advSecret, rules)
  }

  leave() {
    this.#left = true
    this.#offer?.reject(new SimulatorError(504, 'The client went away before it agreed to be linked.'))
  }

  #offerRefs() {
    const { behaviour } = this.#simulator
    const refs = Array.from({ length: behaviour.get('refs') }, makeRef)
    const { first, next } = behaviour.get('ref_lifetime_ms')
    const now = Date.now()
    refs.forEach((ref, index) => this.#simulator.refs.add(ref, this, now + first + index * next))
    this.#connection.send(pairDevice(this.#connection.nextId(), refs))
    this.#connection.note('refs', refs.length)
  }

  #demandPasskey(phone) {
    this.#connection.send(passkeyRequest(this.#connection.nextId()))
    this.#simulator.journal.record('passkey', { socket: this.#connection.id, phone: phone.phone })
    throw conflict('The client was asked for a passkey instead of being linked (behaviour `passkey`).')
  }

  #propose(phone, advSecret, rules) {
    const { identityKey } = this.#client
    const number = phone.reserveNumber()
    const { identity, details } = signDevice(phone.account, { number, identityKey, advSecret })
    const id = this.#connection.nextId()
    const jid = `${phone.phone}:${number}@s.whatsapp.net`
    const lid = `${phone.lid}:${number}@lid`
    this.#connection.state = 'pairing'
    this.#connection.send(pairSuccess(id, { identity, jid, lid, platform: phone.platform, businessName: phone.name }))
    this.#simulator.journal.record('scan', { socket: this.#connection.id, phone: phone.phone, jid })
    return new Promise((resolve, reject) => {
      this.#offer = { id, phone, number, details, rules, resolve, reject }
    })
  }

  /** The client's answer to `pair-success`. */
  #agreed(node) {
    const { phone, number, details, rules, resolve } = this.#offer
    if (!child(node, 'pair-device-sign')) throw new Error('the client refused to be paired')
    if (!isAgreement(node, { account: phone.account, identityKey: this.#client.identityKey, details })) {
      throw new Error('pair-device-sign is not signed by the key of the QR code')
    }
    this.device = this.#simulator.phones.link(phone, { number, ...this.#client })
    this.device.rules = rules
    resolve(this.device)
    this.#connection.note('paired')
    this.#connection.end(streamError(515), 'stream:error 515')
  }
}
