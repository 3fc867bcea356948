/** The API key: asked for when the service wants one, kept for this tab only. */

import { byId, setText } from "./dom.js";

const NAME = "relink-api-key";
let key = "";

/** Reads what an earlier visit in this tab left. Storage may be switched off: then the key lives as long as the page. */
export function recallKey() {
  try {
    key = sessionStorage.getItem(NAME) ?? "";
  } catch {
    key = "";
  }
  byId("forget-key").hidden = key === "";
}

export const apiKey = () => key;

function keepKey(value) {
  key = value;
  byId("forget-key").hidden = value === "";
  try {
    if (value) sessionStorage.setItem(NAME, value);
    else sessionStorage.removeItem(NAME);
  } catch {
    // Not kept, so asked for again after a reload.
  }
}

/** Shows the question instead of the sessions. @param {boolean} wrong whether a key was refused */
export function ask(wrong) {
  const opening = byId("gate").hidden;
  byId("gate").hidden = false;
  byId("frame").hidden = true;
  byId("forget-key").hidden = true;
  setText(byId("gate-error"), wrong ? "The service refused this key." : "");
  if (opening || wrong) byId("gate-key").focus();
}

export function letIn() {
  byId("gate").hidden = true;
  byId("frame").hidden = false;
  byId("gate-key").value = "";
}

export const isAsking = () => !byId("gate").hidden;

/** @param {() => void} onKey @param {() => void} onForget */
export function wireGate(onKey, onForget) {
  byId("gate-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const value = byId("gate-key").value.trim();
    if (!value) return setText(byId("gate-error"), "Enter the key that the service was started with.");
    setText(byId("gate-error"), "");
    keepKey(value);
    onKey();
  });
  byId("forget-key").addEventListener("click", () => {
    keepKey("");
    onForget();
  });
}
