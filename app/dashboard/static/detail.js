/** The session that is shown: where it stands and why, what can be done, its facts. */

import { byId, el, keyed, setAttribute, setEnabled, setText } from "./dom.js";
import { actionWords, detailOf, duration, fullTime, phoneOf, statusOf, timeOfDay } from "./words.js";

const LINKED = new Set(["connecting", "connected", "reconnecting", "stopped"]);

/** What one can do in each status, the first being the way on. `failed` depends on what is left of the link. */
const ACTIONS = {
  idle: ["generate-qr"],
  starting: ["stop-session"],
  qr: ["stop-session"],
  linking: ["stop-session"],
  connecting: ["stop-session", "logout"],
  connected: ["stop-session", "logout"],
  reconnecting: ["stop-session", "logout"],
  stopped: ["start-session", "logout"],
  logged_out: ["generate-qr"],
};
const ALWAYS = ["force-reset", "delete"];

/** The action that ends a state where nothing happens by itself, so that the way on stands out. */
function primaryOf(record) {
  if (record.status === "failed" && record.next_action === "force_reset") return "force-reset";
  const first = actionsOf(record)[0];
  return first === "stop-session" ? "" : first;
}

function actionsOf(record) {
  if (record.status === "failed") return record.jid ? ["start-session", "logout"] : ["generate-qr"];
  return ACTIONS[record.status] ?? ["generate-qr", "start-session", "stop-session", "logout"];
}

/**
 * @param {import("./model.js").Model} model
 * @param {boolean} live whether actions can reach the service
 */
export function renderDetail(model, live) {
  const record = model.record(model.shown);
  byId("session").hidden = record === null;
  byId("nothing").hidden = record !== null;
  if (record === null) return setText(byId("nothing-text"), nothingWords(model));
  setText(byId("name"), record.id);
  const { label, tone } = statusOf(record);
  setAttribute(byId("status"), "data-tone", tone);
  setAttribute(byId("session"), "data-status", record.status);
  setText(byId("status-text"), label);
  setAttribute(byId("why"), "data-tone", tone);
  setText(byId("detail"), detailOf(record));
  setText(byId("codes"), [record.reason, record.code].filter((it) => it !== null && it !== undefined).join(" · "));
  renderActions(record, model.outcomes.get(record.id), live);
  renderOutcome(model.outcomes.get(record.id));
  renderTimes(model);
}

function nothingWords(model) {
  if (!model.loaded) return "Loading…";
  if (model.chosen) return `There is no session called ${model.chosen}.`;
  return "There is no session yet. Add one to link a phone.";
}

function renderActions(record, outcome, live) {
  const group = byId("actions");
  const hadFocus = group.contains(document.activeElement);
  const shown = new Set([...actionsOf(record), ...ALWAYS]);
  const primary = primaryOf(record);
  const busy = outcome?.tone === "busy" ? outcome.verb : "";
  for (const button of group.children) {
    const verb = button.dataset.verb;
    button.hidden = !shown.has(verb);
    button.classList.toggle("primary", verb === primary);
    setEnabled(button, live && !busy);
    setAttribute(button, "aria-busy", verb === busy ? "true" : null);
  }
  if (hadFocus && document.activeElement?.hidden) byId("name").focus();
}

/** @param {import("./model.js").Outcome | undefined} outcome */
function renderOutcome(outcome) {
  const line = byId("outcome");
  setAttribute(line, "data-tone", outcome?.tone ?? null);
  const next = actionWords(outcome?.next);
  setText(line, outcome ? [outcome.text, next].filter(Boolean).join(" ") : "");
}

/** The parts that change with the clock alone. @param {import("./model.js").Model} model */
export function renderTimes(model) {
  const record = model.record(model.shown);
  if (record === null) return;
  setText(byId("next"), nextWords(record, model.now()));
  keyed(byId("facts"), factsOf(record, model.now()), ([term]) => term, makeFact, updateFact);
}

function nextWords(record, now) {
  const words = actionWords(record.next_action);
  if (record.status !== "reconnecting" || !record.retry_at) return words;
  const left = Date.parse(record.retry_at) - now;
  const tries = record.attempt ? ` (try ${record.attempt})` : "";
  return left > 0 ? `Next try in ${duration(left)}${tries}. ${words}` : `Trying again now${tries}. ${words}`;
}

function factsOf(record, now) {
  const since = (text) => (text ? Date.parse(text) : null);
  const connected = record.status === "connected" ? since(record.connected_at) : null;
  const updated = since(record.updated_at);
  const created = since(record.created_at);
  return [
    ["Phone", phoneOf(record.jid)],
    ["Name", record.name],
    ["Platform", record.platform],
    ["Connected for", connected && duration(now - connected), connected],
    ["Tries", LINKED.has(record.status) || record.attempt ? record.attempt || "" : ""],
    ["Last change", updated && timeOfDay(updated), updated],
    ["Created", created && timeOfDay(created), created],
    ["Replica", record.owner],
    ["Epoch", String(record.epoch)],
  ].filter(([, value]) => value);
}

function makeFact() {
  return el("div", {}, el("dt"), el("dd"));
}

function updateFact(node, [term, value, at]) {
  setText(node.firstElementChild, term);
  setText(node.lastElementChild, String(value));
  setAttribute(node.lastElementChild, "title", at ? fullTime(at) : null);
}

export { LINKED };
