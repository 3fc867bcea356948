/** A request that cannot be served. `status` is the HTTP status of the control API, the message is for people. */
export class SimulatorError extends Error {
  constructor(status, detail, headers = {}) {
    super(detail);
    this.name = 'SimulatorError';
    this.status = status;
    this.headers = headers;
  }
}

export const notFound = detail => new SimulatorError(404, detail);
export const conflict = detail => new SimulatorError(409, detail);
export const gone = detail => new SimulatorError(410, detail);
export const invalid = detail => new SimulatorError(422, detail);
