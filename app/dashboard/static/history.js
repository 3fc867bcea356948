/** The timeline of the session that is shown, newest first, in words. */

import { byId, el, keyed, setAttribute, setText } from "./dom.js";
import { dayOf, eventWords, fullTime, timeOfDay } from "./words.js";

/** @param {import("./model.js").Model} model */
export function renderHistory(model) {
  const timeline = model.timelines.get(model.shown);
  const rows = timeline ? withDays(folded(timeline.entries), model.now()) : [];
  keyed(byId("timeline"), rows, (it) => it.key, makeRow, updateRow);
  const notes = { loading: rows.length ? "" : "Loading…", failed: "The history could not be read.", ready: "" };
  setText(byId("timeline-note"), notes[timeline?.state ?? "loading"]);
}

/** Neighbours that say the same (one QR code after the other) become one row with a count. */
function folded(entries) {
  const rows = [];
  for (const entry of entries) {
    const last = rows.at(-1);
    const same = last && last.entry.event === entry.event && last.entry.reason === entry.reason;
    if (same) Object.assign(last, { entry, count: last.count + 1 });
    else rows.push({ key: `${entry.epoch}-${entry.seq}`, entry, count: 1, first: Date.parse(entry.at) });
  }
  return rows.reverse();
}

/** Puts the name of the day above its first row. */
function withDays(rows, now) {
  let day = "";
  return rows.map((row) => {
    const its = dayOf(Date.parse(row.entry.at), now);
    const shown = its === day ? "" : its;
    day = its;
    return { ...row, day: shown };
  });
}

function makeRow() {
  return el(
    "li",
    {},
    el("p", { class: "day" }),
    el("time"),
    el("span", { class: "dot", "aria-hidden": "true" }),
    el("div", {}, el("p", { class: "event" }), el("p", { class: "event-detail" })),
  );
}

function updateRow(node, row) {
  const [day, time, , body] = node.children;
  const at = Date.parse(row.entry.at);
  const { title, detail, tone } = eventWords(row.entry);
  setAttribute(node, "data-tone", tone);
  setText(day, row.day);
  setText(time, timeOfDay(at));
  setAttribute(time, "datetime", row.entry.at);
  const span = row.count > 1 ? `${fullTime(row.first)} to ${fullTime(at)}` : fullTime(at);
  setAttribute(time, "title", span);
  setText(body.firstElementChild, row.count > 1 ? `${title}, ${row.count} times` : title);
  setText(body.lastElementChild, [detail, row.entry.code ? `(${row.entry.code})` : ""].filter(Boolean).join(" "));
}
