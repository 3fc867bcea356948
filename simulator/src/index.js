export { SimulatorError } from './errors.js';
export { RunningSimulator, startSimulator } from './server.js';
