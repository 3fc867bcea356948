/** The list of sessions, the tally in the header, and the page's title. */

import { byId, el, keyed, setAttribute, setText } from "./dom.js";
import { actionWords, detailOf, phoneOf, statusOf } from "./words.js";

const LOUD = new Set(["failed", "logged_out", "reconnecting"]);

/** @param {import("./model.js").Model} model */
export function renderList(model) {
  const records = model.records;
  keyed(byId("list"), records, (it) => it.id, makeRow, (row, record) => updateRow(row, record, model));
  const empty = byId("list-empty");
  empty.hidden = records.length > 0;
  setText(empty, model.loaded ? "None yet. Add one below." : "Loading…");
  byId("more").hidden = model.next === null;
  renderTally(records);
}

function makeRow() {
  const dot = el("span", { class: "dot", "aria-hidden": "true" });
  const name = el("span", { class: "row-name" });
  const status = el("span", { class: "row-status" });
  const note = el("span", { class: "row-note" });
  return el("li", {}, el("a", {}, dot, name, status, note));
}

function updateRow(row, record, model) {
  const link = row.firstElementChild;
  const [, name, status, note] = link.children;
  const { label, tone } = statusOf(record);
  setAttribute(link, "href", `#/${encodeURIComponent(record.id)}`);
  setAttribute(link, "aria-current", record.id === model.shown ? "true" : null);
  setAttribute(link, "data-tone", tone);
  setText(name, record.id);
  setText(status, label);
  setText(note, noteOf(record));
}

/** One line: what went wrong where something did, else who is linked. */
function noteOf(record) {
  if (LOUD.has(record.status)) return detailOf(record);
  if (record.status === "qr") return actionWords(record.next_action);
  return [record.name, phoneOf(record.jid)].filter(Boolean).join(" · ");
}

function renderTally(records) {
  const connected = records.filter((it) => it.status === "connected").length;
  const failed = records.filter((it) => it.status === "failed" || it.status === "logged_out").length;
  const parts = [`${connected} of ${records.length} connected`];
  if (failed) parts.push(failed === 1 ? "1 needs you" : `${failed} need you`);
  const text = records.length ? parts.join(", ") : "";
  setText(byId("tally"), text);
  const title = text ? `Relink: ${text}` : "Relink";
  if (document.title !== title) document.title = title;
}
