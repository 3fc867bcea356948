/** The block that links a phone: the QR code on its white plate, the countdown, what to do with it. */

import { byId, setAttribute, setText } from "./dom.js";

const SHOWN = new Set(["starting", "qr", "linking"]);
const PNG = /^data:image\/png;base64,[A-Za-z0-9+/=]+$/;

const TITLES = { starting: "Getting a code", qr: "Scan to link", linking: "Scanned" };

/**
 * Brings the block to what is true at this moment. Called at each change and several times a second.
 * @param {import("./model.js").Model} model
 * @param {boolean} live whether news can reach the page
 */
export function renderCode(model, live) {
  const record = model.record(model.shown);
  const shown = record !== null && SHOWN.has(record.status);
  byId("link").hidden = !shown;
  if (!shown) return hide("waiting");
  const code = model.code(record.id);
  setText(byId("link-title"), TITLES[record.status]);
  byId("steps").hidden = record.status !== "qr";
  if (code) show(code, model.now());
  else if (record.status === "linking") hide("scanned", "Finishing the link with the phone…");
  else if (record.status === "qr" && model.codeExpired(record.id)) hide("expired", expiredWords(record, live));
  else hide("waiting", record.status === "starting" ? "Asking WhatsApp for a QR code…" : "Fetching the code…");
}

function expiredWords(record, live) {
  if (!live) return "This code has expired. The page is cut off and cannot get the next one.";
  const last = record.qr_limit && record.qr_count >= record.qr_limit;
  return last ? "The last code has expired." : "This code has expired. The next one is on its way.";
}

function show(code, now) {
  const image = byId("qr");
  const source = PNG.test(code.data_url) ? code.data_url : "";
  setAttribute(byId("plate"), "data-state", "code");
  if (image.getAttribute("src") !== source) image.src = source;
  image.alt = `QR code ${code.attempt} for session ${code.session}`;
  image.hidden = false;
  setText(byId("plate-text"), "");
  const left = Math.max(0, code.expires - now);
  setText(byId("clock-text"), `${Math.ceil(left / 1000)} s`);
  byId("clock").hidden = false;
  byId("bar").hidden = false;
  byId("bar").firstElementChild.style.transform = `scaleX(${Math.min(1, left / code.span).toFixed(4)})`;
  const further = code.limit && code.attempt < code.limit;
  const count = code.limit ? `Code ${code.attempt} of ${code.limit}.` : `Code ${code.attempt}.`;
  setText(byId("code-count"), further ? `${count} The next one comes by itself.` : `${count} It is the last one.`);
}

function hide(state, text = "") {
  const image = byId("qr");
  image.hidden = true;
  image.removeAttribute("src");
  setAttribute(byId("plate"), "data-state", state);
  setText(byId("plate-text"), text);
  byId("clock").hidden = true;
  byId("bar").hidden = true;
  setText(byId("code-count"), "");
}
