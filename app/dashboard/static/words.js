/** What the page says. Reasons and next actions come from the service (`reasons.json`); the rest stands here. */

/** @typedef {{detail: string, next_action: string}} Explanation */
/** @type {{reasons: Record<string, Explanation>, actions: Record<string, string>}} */
let table = { reasons: {}, actions: {} };

export function useReasons(loaded) {
  table = loaded;
}

/** How each status is called, and its tone (a colour in theme.css). */
export const STATUSES = {
  idle: { label: "Not linked", tone: "quiet" },
  starting: { label: "Starting", tone: "busy" },
  qr: { label: "Waiting for a scan", tone: "call" },
  linking: { label: "Linking", tone: "busy" },
  connecting: { label: "Connecting", tone: "busy" },
  connected: { label: "Connected", tone: "good" },
  reconnecting: { label: "Reconnecting", tone: "warn" },
  stopped: { label: "Stopped", tone: "quiet" },
  logged_out: { label: "Logged out", tone: "warn" },
  failed: { label: "Failed", tone: "bad" },
};

export const statusOf = (record) => STATUSES[record.status] ?? { label: record.status, tone: "quiet" };

/** What the status alone means, where the record brings no `detail` of its own. */
const MEANINGS = {
  idle: "No phone is linked.",
  starting: "Opening a connection to WhatsApp to get a QR code.",
  qr: "A QR code is on offer.",
  linking: "The phone scanned the code; the link is being made.",
  connecting: "Logging in to WhatsApp.",
  connected: "Linked and online.",
  reconnecting: "The connection was lost; another try follows.",
  stopped: "Linked, and deliberately offline.",
  logged_out: "The link was ended; everything was cleared.",
  failed: "The session gave up.",
};

export const detailOf = (record) =>
  record.detail ?? table.reasons[record.reason]?.detail ?? MEANINGS[record.status] ?? "";

/** A next action in words. Codes this page does not know are shown as they are. */
export function actionWords(code) {
  if (!code || code === "none") return "";
  return table.actions[code] ?? code.replaceAll("_", " ");
}

/** Button labels, while it runs, and when it went well. */
export const VERBS = {
  "generate-qr": { busy: "Waiting for a QR code from WhatsApp…", done: "A QR code is on offer." },
  "start-session": { busy: "Starting…", done: "Started." },
  "stop-session": { busy: "Stopping…", done: "Stopped." },
  logout: { busy: "Telling WhatsApp to unlink this device…", done: "Logged out." },
  "force-reset": { busy: "Resetting…", done: "Reset: everything the session had was deleted." },
  delete: { busy: "Deleting…", done: "Deleted." },
};

/** What the confirmation says before a destructive action. */
export const CONFIRMATIONS = {
  logout: {
    title: (id) => `Log out ${id}?`,
    text: "WhatsApp is told to unlink this device, then its credentials are deleted. To go on, the phone must scan a new QR code.",
    yes: "Log out",
  },
  "force-reset": {
    title: (id) => `Force reset ${id}?`,
    text: "Deletes the session's credentials and keys here, now, whatever state it is in. It waits for nobody: if WhatsApp cannot be told in passing, the phone goes on listing the device. To go on, the phone must scan a new QR code.",
    yes: "Force reset",
  },
  delete: {
    title: (id) => `Delete ${id}?`,
    text: "Removes the session with its credentials and its history. If it is linked, log out first, so that the phone is sure to forget the device.",
    yes: "Delete",
  },
};

const EVENTS = {
  created: () => "Session created",
  start: () => "Started: asking WhatsApp for a QR code",
  resume: () => "Connecting with the stored link",
  qr: () => "QR code offered",
  paired: () => "The phone scanned the code",
  open: () => "Connected to WhatsApp",
  restart: () => "WhatsApp asked for a fresh connection",
  retry: () => "Connection lost before linking; trying again",
  reconnect: () => "Connection lost; waiting to try again",
  held: () => "Held back: many sessions fail alike, and one tries for all",
  claim: () => "Taken over by another replica",
  claim_unlinked: () => "Taken over by another replica, which starts anew",
  release: () => "Handed over by the replica that held it",
  stop: () => "Stopped",
  logout: () => "Logged out; everything was cleared",
  fail: () => "Gave up",
  reset: () => "Reset: everything it had was deleted",
  stop_requested: () => "Stop requested",
  logout_requested: () => "Logout requested",
};

/** Events whose own words say all that their usual reason would. */
const SAID = new Set(["reset/force_reset", "stop/stop_requested"]);

/**
 * One timeline entry in words.
 * @returns {{title: string, detail: string, tone: string}}
 */
export function eventWords(entry) {
  const title = EVENTS[entry.event]?.() ?? entry.event.replaceAll("_", " ");
  const said = SAID.has(`${entry.event}/${entry.reason}`);
  const detail = said ? "" : (table.reasons[entry.reason]?.detail ?? entry.reason ?? "");
  return { title, detail, tone: STATUSES[entry.to]?.tone ?? "quiet" };
}

/** `4915…:3@s.whatsapp.net` → `+4915…`; ids that are no phone number stay as they are. */
export function phoneOf(jid) {
  const match = /^(\d+)(?::\d+)?@s\.whatsapp\.net$/.exec(jid ?? "");
  return match ? `+${match[1]}` : (jid ?? "");
}

/** 7 s, 3 min, 2 h 05 min, 4 days */
export function duration(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
  const days = Math.floor(hours / 24);
  return days === 1 ? "1 day" : `${days} days`;
}

const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

export const timeOfDay = (ms) => TIME.format(ms);
export const fullTime = (ms) => FULL.format(ms);

/** "Today", "Yesterday", or the day by name. */
export function dayOf(ms, now) {
  const midnight = new Date(now).setHours(0, 0, 0, 0);
  if (ms >= midnight) return "Today";
  if (ms >= new Date(midnight - 1).setHours(0, 0, 0, 0)) return "Yesterday";
  return DAY.format(ms);
}
