/** The refs in QR codes: who was offered which, and how long each can be scanned. */
import { gone, notFound } from './errors.js';

/** Old refs are remembered, so that a late scan is told what was wrong; beyond this many the oldest are forgotten. */
const MAX_REFS = 20_000;

export class Refs {
  #refs = new Map();

  /** @param {number} expiresAt milliseconds since the epoch */
  add(ref, registration, expiresAt) {
    this.#refs.set(ref, { registration, expiresAt });
    if (this.#refs.size > MAX_REFS) this.#refs.delete(this.#refs.keys().next().value);
  }

  /**
   * The client that shows this ref.
   * @returns {import('./registration.js').Registration}
   * @throws {import('./errors.js').SimulatorError} 404 never seen, 410 expired
   */
  find(ref) {
    const known = this.#refs.get(ref);
    if (!known) throw notFound('This QR code was not issued by this simulator, or so long ago that it was forgotten.');
    const late = Date.now() - known.expiresAt;
    if (late >= 0 && !known.registration.used) throw gone(`This QR code expired ${(late / 1000).toFixed(1)} s ago.`);
    return known.registration;
  }

  clear() {
    this.#refs.clear();
  }
}
