/** What the user does: the verbs, their confirmation, adding a session. Progress and errors land in `model.outcomes`. */

import { byId, isEnabled, setText } from "./dom.js";
import { CONFIRMATIONS, VERBS } from "./words.js";

const SESSION_ID = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;

/**
 * @typedef {object} Page
 * @property {import("./model.js").Model} model
 * @property {import("./api.js").Api} api
 * @property {() => import("./live.js").Live | null} live
 * @property {(record: any) => void} take
 * @property {() => void} changed
 * @property {(text: string) => void} announce
 * @property {() => Promise<void>} poll
 */

/** @param {Page} page */
export function wireActions(page) {
  byId("actions").addEventListener("click", async (event) => {
    const button = event.target.closest("button");
    const id = page.model.shown;
    if (!button || !isEnabled(button) || !id) return;
    const verb = button.dataset.verb;
    if (CONFIRMATIONS[verb] && !(await confirmed(verb, id))) return;
    await act(page, verb, id);
  });
  byId("add-form").addEventListener("submit", (event) => {
    event.preventDefault();
    add(page);
  });
}

/** Asks in a dialog; resolves to whether the user agreed. */
function confirmed(verb, id) {
  const dialog = byId("confirm");
  const words = CONFIRMATIONS[verb];
  setText(byId("confirm-title"), words.title(id));
  setText(byId("confirm-text"), words.text);
  setText(byId("confirm-yes"), words.yes);
  dialog.returnValue = "cancel";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "confirm"), { once: true });
  });
}

/** @param {Page} page */
async function act(page, verb, id) {
  const { model, changed } = page;
  const words = VERBS[verb];
  model.outcomes.set(id, { verb, tone: "busy", text: words.busy });
  changed();
  try {
    await perform(page, verb, id);
    if (verb !== "delete") model.outcomes.set(id, { verb, tone: "good", text: words.done });
  } catch (problem) {
    model.outcomes.set(id, { verb, tone: "bad", text: problem.message, next: problem.nextAction });
  }
  changed();
}

async function perform({ model, api, live, take, changed, announce, poll }, verb, id) {
  if (verb === "delete") {
    await api.remove(id);
    live()?.unwatch(id);
    model.remove(id);
    announce(`${id} was deleted.`);
    location.hash = "#/";
    byId("main").focus();
    return poll();
  }
  const answer = await live().run(verb, id);
  if (verb === "generate-qr") model.putCode(answer);
  else if (answer.status) take(answer);
  changed();
}

/** @param {Page} page */
async function add(page) {
  const input = byId("add-name");
  const id = input.value.trim();
  const error = byId("add-error");
  setText(error, "");
  if (!SESSION_ID.test(id)) {
    setText(error, "Use up to 64 letters, digits, dots, dashes or underscores; begin with a letter or digit.");
    return input.focus();
  }
  if (!page.model.record(id)) {
    try {
      await page.live()?.run("start-session", id);
    } catch (problem) {
      setText(error, problem.message);
      return input.focus();
    }
    await page.poll();
  }
  input.value = "";
  location.hash = `#/${encodeURIComponent(id)}`;
  byId("name").focus();
}
