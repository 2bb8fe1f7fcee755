// What was posted to the webhook and to bots, and how it went.

import { byId, el, exactTimeOf, icon, plural, sync, toast, write } from "./dom.js";
import { page } from "./state.js";

const OUTCOMES = {
  waiting: "on its way",
  delivered: "delivered",
  failed: "failed for good",
  dropped: "dropped",
  cancelled: "cancelled",
};

let withReads = false;

/** Whether it only says that someone has read: common and dull, unless it went wrong. */
const isRead = ({ category, outcome }) => category.endsWith(":message_read") && !["failed", "dropped"].includes(outcome);

function makeRecord(record) {
  const details = el(
    "details",
    {},
    el(
      "summary",
      {},
      el("span", { className: "mark" }),
      el(
        "span",
        { className: "what" },
        el("span", { className: "category", textContent: record.category }),
        el(
          "span",
          { className: "meta" },
          el("span", { className: "how" }),
          el("time", { textContent: exactTimeOf(record.at), dateTime: new Date(record.at).toISOString() }),
        ),
      ),
      el("span", { className: "pill" }),
      icon("chevron"),
    ),
    el("div", { className: "inside" }),
  );
  details.addEventListener("toggle", () => fill(details, page.deliveries.get(record.id) ?? record));
  return el("li", { data: { testid: "delivery", category: record.category } }, details);
}

const answer = (attempt) => (attempt.status ? String(attempt.status) : attempt.problem);

function showRecord(node, record) {
  const last = record.attempts.at(-1);
  node.dataset.outcome = record.outcome;
  const tries = record.attempts.length === 1 ? "1 try" : `${record.attempts.length} tries`;
  const road = record.road === "callback" ? `bot ${record.body.bot.bot_userid}` : "webhook";
  const how = [road, tries, last ? `${last.took} ms` : ""].filter(Boolean).join(" · ");
  write(node.querySelector(".how"), how);
  node.querySelector(".how").title = how;
  write(node.querySelector(".pill"), last?.status ? String(last.status) : record.outcome === "waiting" ? "…" : "no answer");
  node.querySelector(".mark").title = OUTCOMES[record.outcome];
  const details = node.firstElementChild;
  if (details.open) fill(details, record);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied");
  } catch {
    toast("This browser doesn't let the page copy: select the id instead.");
  }
}

/** The event that the receiver made of it, by the id in its answer. */
function event(id) {
  const button = el("button", { className: "button small", type: "button", textContent: "Copy", aria: { label: "Copy the event id" } });
  button.addEventListener("click", () => copy(id));
  return el(
    "div",
    { className: "event", data: { testid: "event" } },
    el("span", {}, "Event ", el("code", { className: "id", textContent: id })),
    button,
    el("code", { className: "shell", textContent: `receiver events show ${id}` }),
  );
}

function fill(details, record) {
  const version = `${record.outcome}/${record.attempts.length}`;
  if (!details.open || details.dataset.version === version) return; // a selection in it is not lost
  details.dataset.version = version;
  const id = record.attempts.at(-1)?.event_id;
  const tries = record.attempts.map((attempt, index) =>
    el("li", { textContent: `Post ${index + 1}: ${answer(attempt)} after ${attempt.took} ms` }),
  );
  details.querySelector(".inside").replaceChildren(
    el("p", { className: "url", textContent: `POST ${record.url}` }),
    el("ol", { className: "tries" }, ...tries),
    ...(id ? [event(id)] : []),
    el("pre", { textContent: JSON.stringify(record.body, null, 2), tabIndex: 0 }),
  );
}

export function showDeliveries() {
  const newestFirst = [...page.deliveries.values()].sort((one, other) => other.id - one.id);
  byId("no-deliveries").hidden = newestFirst.length > 0;
  const reads = newestFirst.filter(isRead).length;
  const shown = withReads ? newestFirst : newestFirst.filter((record) => !isRead(record));
  byId("reads").hidden = reads === 0;
  write(byId("reads"), withReads ? `Hide ${plural(reads, "read")}` : `Show ${plural(reads, "read")}`);
  sync(byId("deliveries"), shown, (record) => record.id, makeRecord, showRecord);
  const target = byId("webhook-target");
  target.classList.toggle("off", !page.webhook);
  write(target, page.webhook ? page.webhook : "No webhook yet: start with --webhook-url");
  const failed = newestFirst.filter((record) => record.outcome === "failed").length;
  byId("open-road").classList.toggle("alarm", failed > 0);
  byId("open-road").title = failed ? `Deliveries: ${plural(failed, "failure")}` : "Deliveries";
}

export function setUpDeliveries() {
  const app = byId("app");
  byId("reads").addEventListener("click", () => {
    withReads = !withReads;
    byId("reads").setAttribute("aria-pressed", String(withReads));
    showDeliveries();
  });
  const open = (on) => {
    app.classList.toggle("road-open", on);
    byId("open-road").setAttribute("aria-expanded", String(on));
  };
  byId("open-road").addEventListener("click", () => open(!app.classList.contains("road-open")));
  byId("close-road").addEventListener("click", () => open(false));
  byId("veil").addEventListener("click", () => open(false));
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") open(false);
  });
}
