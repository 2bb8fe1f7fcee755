// The mail page: the list follows what comes; the mail itself is the server's.

import { avatar, byId, dayOf, el, plural, sync, timeOf, toast, write } from "./dom.js";

const current = document.body.dataset.mail;
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

/** The name in `Ada Lovelace <ada@example.com>`, else the address. */
const nameOf = (address) => address.replace(/\s*<[^<>]*>\s*$/, "").replace(/^"(.*)"$/, "$1") || address;

function makeRow(item) {
  if (item.day) return el("li", { className: "day", textContent: item.day });
  const to = item.to || item.rcpt_tos.join(", ");
  return el(
    "li",
    { className: item.id === current ? "current" : "", data: { testid: "mail" } },
    el(
      "a",
      { href: `/mail/${item.id}`, aria: item.id === current ? { current: "page" } : {} },
      avatar({ user_id: item.rcpt_tos[0] ?? "", nickname: nameOf(to) }),
      el("span", { className: "to", textContent: `To ${nameOf(to)}`, title: to }),
      el("time", { textContent: timeOf(item.received_at), dateTime: new Date(item.received_at).toISOString() }),
      el("span", { className: "about", textContent: item.subject || "(no subject)" }),
      el("span", { className: "excerpt", textContent: item.excerpt }),
    ),
  );
}

/** The mails with a line before each day's first. */
function withDays(mails) {
  const items = [];
  let day = "";
  for (const mail of mails) {
    if (dayOf(mail.received_at) !== day) {
      day = dayOf(mail.received_at);
      items.push({ id: `day ${day}`, day });
    }
    items.push(mail);
  }
  return items;
}

async function refresh() {
  const answer = await fetch("/mail.json");
  if (answer.status === 401) location.reload(); // the session is over: the same address asks for the token
  if (!answer.ok) throw new Error(`The sandbox answered ${answer.status}.`);
  const { mails } = await answer.json();
  sync(byId("mails"), withDays(mails), (item) => item.id, makeRow, () => {});
  byId("no-mails").hidden = mails.length > 0;
  byId("clear").disabled = mails.length === 0;
  const count = mails.length ? plural(mails.length, "mail") : "None yet";
  write(byId("count"), [count, byId("count").dataset.url].filter(Boolean).join(" · "));
  if (!current && byId("pick")) byId("pick").hidden = mails.length === 0;
}

let refreshing = false;
let stale = false;

/** Load the list again; if more comes meanwhile, once more afterwards. */
async function refreshSoon() {
  stale = true;
  if (refreshing) return;
  refreshing = true;
  while (stale) {
    stale = false;
    try {
      await refresh();
    } catch (error) {
      toast(error.message);
    }
  }
  refreshing = false;
}

function showLink(state, text) {
  byId("link-state").dataset.state = state;
  write(byId("link-text"), text);
}

function connect() {
  const stream = new EventSource("/page/events");
  stream.addEventListener("hello", () => {
    showLink("live", "Live");
    refreshSoon();
  });
  stream.addEventListener("mail", refreshSoon);
  stream.addEventListener("error", () => showLink("lost", "The sandbox is away. Trying again …"));
  addEventListener("pagehide", () => stream.close());
}

function setUpClearing() {
  const dialog = byId("clear-dialog");
  byId("clear").addEventListener("click", () => dialog.showModal());
  dialog.addEventListener("close", async () => {
    if (dialog.returnValue !== "yes") return;
    const answer = await fetch("/mail", { method: "DELETE", headers: { "x-receiver-page": "1" } });
    if (!answer.ok) toast(`The sandbox answered ${answer.status}.`);
    else if (current) location.assign("/mail");
  });
}

for (const time of document.querySelectorAll("time[data-ms]")) {
  const at = new Date(Number(time.dataset.ms));
  time.dateTime = at.toISOString();
  time.textContent = moment.format(at);
}
setUpClearing();
connect();
