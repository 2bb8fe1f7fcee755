// What was posted to the webhook and to bots, and how it went.

import { byId, el, exactTimeOf, icon, plural, sync, write } from "./dom.js";
import { page } from "./state.js";

const OUTCOMES = {
  waiting: "on its way",
  delivered: "delivered",
  failed: "failed for good",
  dropped: "dropped",
  cancelled: "cancelled",
};

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
        el("span", { className: "meta" }),
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
  const meta = [road, tries, last ? `${last.took} ms` : "", exactTimeOf(record.at)];
  write(node.querySelector(".meta"), meta.filter(Boolean).join(" · "));
  write(node.querySelector(".pill"), last?.status ? String(last.status) : record.outcome === "waiting" ? "…" : "no answer");
  node.querySelector(".mark").title = OUTCOMES[record.outcome];
  const details = node.firstElementChild;
  if (details.open) fill(details, record);
}

function fill(details, record) {
  if (!details.open) return;
  const tries = record.attempts.map((attempt, index) =>
    el("li", { textContent: `Post ${index + 1}: ${answer(attempt)} after ${attempt.took} ms` }),
  );
  details.querySelector(".inside").replaceChildren(
    el("p", { className: "url", textContent: `POST ${record.url}` }),
    el("ol", { className: "tries" }, ...tries),
    el("pre", { textContent: JSON.stringify(record.body, null, 2), tabIndex: 0 }),
  );
}

export function showDeliveries() {
  const newestFirst = [...page.deliveries.values()].sort((one, other) => other.id - one.id);
  byId("no-deliveries").hidden = newestFirst.length > 0;
  sync(byId("deliveries"), newestFirst, (record) => record.id, makeRecord, showRecord);
  const target = byId("webhook-target");
  target.classList.toggle("off", !page.webhook);
  write(target, page.webhook ? page.webhook : "No webhook yet: start with --webhook-url");
  const failed = newestFirst.filter((record) => record.outcome === "failed").length;
  byId("open-road").classList.toggle("alarm", failed > 0);
  byId("open-road").title = failed ? `Deliveries: ${plural(failed, "failure")}` : "Deliveries";
}

export function setUpDeliveries() {
  const app = byId("app");
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
