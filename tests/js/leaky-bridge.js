/**
 * The bridge, as careless as a program that lets Baileys write after a socket has ended: what the service must withstand
 * if the bridge's own guard should ever fail. Run it in place of bridge/src/main.js.
 */

import { Auth } from '../../bridge/src/auth.js';

Auth.prototype.end = function end() {
  this.flush();
};

await import('../../bridge/src/main.js');
