/** Starts the page, and carries what happens from the service to the model to the screen. */

import { Api } from "./api.js";
import { wireActions } from "./actions.js";
import { renderCode } from "./code.js";
import { renderDetail, renderTimes } from "./detail.js";
import { byId, setAttribute, setText } from "./dom.js";
import { apiKey, ask, isAsking, letIn, recallKey, wireGate } from "./gate.js";
import { renderHistory } from "./history.js";
import { renderList } from "./list.js";
import { Live } from "./live.js";
import { Model } from "./model.js";
import { statusOf, useReasons } from "./words.js";

const PAGE = 100;
const POLL_MS = 4000;
const TICK_MS = 250;

recallKey();
const api = new Api(apiKey);
const model = new Model(() => api.now());
/** @type {Live | null} */
let live = null;
/** connecting, live, lost, off (no Socket.IO client) */
let link = "connecting";
/** @type {import("./api.js").Problem | null} why the last poll failed */
let trouble = null;
let pages = 1;

// ---- to the screen

let planned = false;
function changed() {
  if (planned) return;
  planned = true;
  queueMicrotask(() => {
    planned = false;
    renderList(model);
    renderDetail(model, link === "live");
    renderCode(model, link === "live");
    renderHistory(model);
    renderLink();
  });
}

const PULSE = { connecting: "Connecting", live: "Live", lost: "Reconnecting", off: "Not live" };

function renderLink() {
  setAttribute(byId("pulse"), "data-state", link);
  setText(byId("pulse-text"), PULSE[link]);
  const [title, text] = bannerWords();
  byId("banner").hidden = !title;
  setAttribute(document.body, "data-stale", title ? "true" : null);
  setText(byId("banner-title"), title);
  setText(byId("banner-text"), text);
}

function bannerWords() {
  if (isAsking()) return ["", ""];
  if (trouble && trouble.code !== "unreachable") return [trouble.message, "Trying again by itself."];
  if (trouble || link === "lost") {
    return ["The service does not answer.", "What you see may be out of date. The page goes on by itself when it is back."];
  }
  if (link === "off") {
    return ["No live connection:", "the Socket.IO client is not installed here. Run “npm ci” in the folder of Relink and start it again."];
  }
  return ["", ""];
}

function announce(text) {
  setText(byId("announcer"), text);
}

// ---- from the service

function take(record) {
  const before = model.record(record.id);
  if (!model.put(record)) return changed();
  if (record.id === model.shown) {
    if (before && before.status !== record.status) announce(`${record.id}: ${statusOf(record).label}`);
    readTimeline();
  }
  changed();
}

let polling = false;
async function poll() {
  if (polling) return;
  polling = true;
  try {
    const asked = Date.now();
    const records = [];
    let next = null;
    for (let page = 0; page < pages; page += 1) {
      const answer = await api.page(next, PAGE);
      records.push(...answer.sessions);
      next = answer.next;
      if (next === null) break;
    }
    trouble = null;
    const { gone, news } = model.replace(records, next, asked);
    for (const id of gone) live?.unwatch(id);
    live?.watch(records.map((it) => it.id));
    if (isAsking()) letIn();
    if (live && link !== "live") live.open();
    if (news.some((it) => it.id === model.shown)) readTimeline();
    await readChosen();
  } catch (problem) {
    meet(problem);
  } finally {
    polling = false;
    changed();
  }
}

/** A session that the address names may lie beyond the loaded pages. */
async function readChosen() {
  if (!model.chosen || model.record(model.chosen) || model.next === null) return;
  try {
    take(await api.session(model.chosen));
    live?.watch([model.chosen]);
  } catch (problem) {
    if (problem.status !== 404) throw problem;
  }
}

function meet(problem) {
  if (problem.status === 401) {
    live?.close();
    return ask(apiKey() !== "");
  }
  trouble = problem;
}

/** Brings the shown timeline up to the record's sequence number. */
async function readTimeline() {
  const id = model.shown;
  const record = model.record(id);
  if (!record) return;
  let timeline = model.timelines.get(id);
  if (!timeline || timeline.entries.at(-1)?.seq > record.seq) {
    timeline = { entries: [], state: "loading", wanted: 0 };
    model.timelines.set(id, timeline);
  }
  if (timeline.wanted >= record.seq) return;
  timeline.wanted = record.seq;
  try {
    const last = timeline.entries.at(-1)?.seq ?? 0;
    const { entries } = await api.timeline(id, last);
    const known = timeline.entries.at(-1)?.seq ?? 0;
    timeline.entries.push(...entries.filter((it) => it.seq > known));
    timeline.state = "ready";
  } catch {
    timeline.state = "failed";
    timeline.wanted = 0;
  }
  changed();
}

/** The code may be older than our connection: then it is asked for, once for each code. */
let codeAsked = "";
async function readCode() {
  const record = model.record(model.shown);
  if (!record || record.status !== "qr" || model.code(record.id) || model.codeExpired(record.id)) return;
  const which = `${record.id} ${record.qr_id}`;
  if (codeAsked === which) return;
  codeAsked = which;
  try {
    model.putCode(await api.qr(record.id));
    changed();
  } catch {
    // It has just gone: the status says what came instead.
  }
}

// ---- the page itself

function route() {
  const match = /^#\/(.+)$/.exec(location.hash);
  let id = "";
  try {
    id = match ? decodeURIComponent(match[1]) : "";
  } catch {
    id = "";
  }
  model.chosen = id;
  document.body.dataset.view = id ? "detail" : "list";
  announce("");
  readTimeline();
  readCode();
  changed();
  if (model.loaded) readChosen().catch(meet);
}

function tick() {
  renderTimes(model);
  renderCode(model, link === "live");
  readCode();
}

async function connect() {
  try {
    const { io } = await import("./socket.io.esm.min.js");
    live = new Live(io, apiKey);
  } catch {
    link = "off";
    return;
  }
  live.addEventListener("state", (event) => {
    const { state } = event.detail;
    if (state === "refused") poll(); // it answers 401 when the key is why
    link = state === "live" ? "live" : "lost";
    if (state === "live") poll();
    changed();
  });
  live.addEventListener("status", (event) => take(event.detail));
  live.addEventListener("qr", (event) => {
    model.putCode(event.detail);
    changed();
  });
}

async function start() {
  wireGate(poll, () => {
    live?.close();
    location.reload();
  });
  wireActions({ model, api, live: () => live, take, changed, announce, poll });
  byId("more").addEventListener("click", () => {
    pages += 1;
    poll();
  });
  addEventListener("hashchange", route);
  document.addEventListener("visibilitychange", () => {
    tick();
    if (!document.hidden) poll();
  });
  const reasons = fetch(new URL("static/reasons.json", document.baseURI)).then((response) => response.json());
  await Promise.all([connect(), reasons.then(useReasons).catch(() => {})]);
  route();
  await poll();
  setInterval(tick, TICK_MS);
  setInterval(() => {
    if (!document.hidden && !isAsking()) poll();
  }, POLL_MS);
}

start();
