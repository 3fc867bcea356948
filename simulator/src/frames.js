/** Frames on the wire: three bytes of length, big-endian, then the payload; before the client's first, an intro. */

const HEADER_BYTES = 4;
const ROUTING_BYTES = 7;

/** One frame, ready to send. */
export function frame(payload) {
  const bytes = Buffer.allocUnsafe(3 + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes.set(payload, 3);
  return bytes;
}

/** Cuts what a client sends into frames, however it arrives. */
export class FrameReader {
  /** The four bytes the client began with, once they are here. */
  header = null;
  #rest = Buffer.alloc(0);

  /**
   * Takes in `data` and returns the frames that are now complete.
   * @param {Buffer} data
   * @returns {Buffer[]}
   * @throws {Error} when the client does not begin as WhatsApp Web clients do
   */
  push(data) {
    this.#rest = this.#rest.length === 0 ? data : Buffer.concat([this.#rest, data]);
    if (this.header === null && !this.#readIntro()) return [];
    const frames = [];
    while (this.#rest.length >= 3) {
      const end = 3 + this.#rest.readUIntBE(0, 3);
      if (this.#rest.length < end) break;
      frames.push(this.#rest.subarray(3, end));
      this.#rest = this.#rest.subarray(end);
    }
    return frames;
  }

  #readIntro() {
    let at = 0;
    if (this.#rest[0] === 0x45) {
      // 'E' 'D' 0 1, a length of three bytes, routing info: for WhatsApp's own load balancers
      if (this.#rest.length < ROUTING_BYTES) return false;
      at = ROUTING_BYTES + this.#rest.readUIntBE(4, 3);
    }
    if (this.#rest.length < at + HEADER_BYTES) return false;
    const header = this.#rest.subarray(at, at + HEADER_BYTES);
    if (header[0] !== 0x57 || header[1] !== 0x41)
      throw new Error('the first bytes are not those of a WhatsApp Web client');
    this.header = header;
    this.#rest = this.#rest.subarray(at + HEADER_BYTES);
    return true;
  }
}
