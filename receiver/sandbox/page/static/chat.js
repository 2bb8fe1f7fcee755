// The chat page: follows what is chosen, and what happens.

import * as api from "./api.js";
import { showChannel, showChannels } from "./channels.js";
import { setUpComposer, showComposer } from "./composer.js";
import { setUpDeliveries, showDeliveries } from "./deliveries.js";
import { setUpDialogs } from "./dialogs.js";
import { byId, write } from "./dom.js";
import { setUpMessages, showMessages } from "./messages.js";
import { showBots, showUsers } from "./people.js";
import { attempt, choose, onChoose, page } from "./state.js";

const MOST_DELIVERIES = 100;

function readAddress() {
  const chosen = new URLSearchParams(location.hash.slice(1));
  page.me = chosen.get("user") ?? page.me;
  page.url = chosen.get("channel") ?? page.url;
}

function showAll() {
  showUsers();
  showBots();
  showChannels();
  showChannel();
  showComposer();
  showDeliveries();
  const unread = page.channels.reduce((sum, channel) => sum + (channel.unread_message_count ?? 0), 0);
  document.title = `${unread ? `(${unread}) ` : ""}${page.channel?.name ?? "Sandbox"} · Sandbox`;
}

/** Settle on a user and a channel that exist. */
function settle() {
  const people = [...page.users.values()].filter((user) => !user.is_bot);
  if (!people.some((user) => user.user_id === page.me)) page.me = people[0]?.user_id ?? "";
  if (!page.channel) page.url = page.channels.toSorted((one, other) => promise(other) - promise(one))[0]?.channel_url ?? "";
}

/** How much there is to try in a channel: best a group of mine with a bot that answers. */
function promise(channel) {
  if (!page.isMember(channel)) return 0;
  if (channel.kind === "open") return 1;
  return channel.member_ids.some((id) => page.users.get(id)?.is_bot) ? 3 : 2;
}

async function refresh() {
  const before = [page.me, page.url].join();
  const state = await api.loadState(page.me);
  page.users = new Map(state.users.map((user) => [user.user_id, user]));
  page.channels = state.channels;
  page.webhook = state.webhook;
  for (const record of state.deliveries) {
    const known = page.deliveries.get(record.id);
    if (!known || known.outcome === "waiting") page.deliveries.set(record.id, record);
  }
  settle();
  if ([page.me, page.url].join() !== before) {
    choose({});
    return;
  }
  showAll();
  readUp();
}

async function loadMessages() {
  const asked = page.url;
  const found = page.channel ? (await api.loadMessages(asked)).messages : [];
  if (asked !== page.url) return;
  const last = found.at(-1)?.message_id ?? 0;
  // A message may have come by the live stream while the list was on its way.
  const newer = page.messages.filter((each) => each.channel_url === asked && each.message_id > last);
  page.messages = [...found, ...newer];
  showMessages({ jump: true });
}

/** Mark the channel as read: who is online and has it before their eyes has read it. */
function readUp() {
  const { channel, myself } = page;
  if (document.visibilityState !== "visible" || !myself?.is_online) return;
  if (channel?.unread_message_count) attempt(() => api.markRead(channel.channel_url, page.me));
}

let refreshing = false;
let stale = false;

/** Load the state again; if more happens meanwhile, once more afterwards. */
async function refreshSoon() {
  stale = true;
  if (refreshing) return;
  refreshing = true;
  while (stale) {
    stale = false;
    await attempt(refresh);
  }
  refreshing = false;
}

async function chosen({ user = page.me, channel = page.url }) {
  if (channel !== page.url) page.messages = [];
  page.me = user;
  page.url = channel;
  history.replaceState(null, "", `#${new URLSearchParams({ user, channel })}`);
  byId("app").classList.remove("side-open");
  await refreshSoon();
  await attempt(loadMessages);
}

function happened({ category, channel_url: url, message }) {
  if (url === page.url && message) {
    const others = page.messages.filter((each) => each.message_id !== message.message_id);
    if (!category.endsWith(":message_delete")) others.push(message);
    page.messages = others.sort((one, other) => one.message_id - other.message_id);
    showMessages({ jump: message.user?.user_id === page.me });
  }
  refreshSoon();
}

function delivered(record) {
  page.deliveries.set(record.id, record);
  while (page.deliveries.size > MOST_DELIVERIES) page.deliveries.delete(page.deliveries.keys().next().value);
  showDeliveries();
}

function showLink(state, text) {
  byId("link-state").dataset.state = state;
  write(byId("link-text"), text);
}

function connect() {
  const stream = new EventSource("/page/events");
  stream.addEventListener("hello", () => {
    showLink("live", "Live");
    // What happened while the line was down is in the state, not in the stream.
    page.deliveries.clear();
    choose({});
  });
  stream.addEventListener("happened", (event) => happened(JSON.parse(event.data)));
  stream.addEventListener("delivery", (event) => delivered(JSON.parse(event.data)));
  stream.addEventListener("mail", ({ data }) => byId("open-mail").classList.toggle("news", JSON.parse(data).newest !== null));
  stream.addEventListener("error", () => showLink("lost", "The sandbox is away. Trying again …"));
  addEventListener("pagehide", () => stream.close());
}

readAddress();
onChoose(chosen);
setUpComposer();
setUpDialogs();
setUpDeliveries();
setUpMessages();
byId("open-side").addEventListener("click", () => byId("app").classList.add("side-open"));
byId("close-side").addEventListener("click", () => byId("app").classList.remove("side-open"));
byId("veil").addEventListener("click", () => byId("app").classList.remove("side-open"));
addEventListener("keydown", (event) => {
  if (event.key === "Escape") byId("app").classList.remove("side-open");
});
addEventListener("hashchange", () => {
  readAddress();
  choose({});
});
document.addEventListener("visibilitychange", readUp);
connect();
