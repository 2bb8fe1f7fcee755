// The list of channels, and the head of the one that is open.

import { avatar, byId, el, icon, plural, sync, write } from "./dom.js";
import { choose, page } from "./state.js";

const FACES = 5;
const glyph = (channel) => (channel.kind === "open" ? "globe" : "hash");

function gist({ last_message: last }) {
  if (!last) return "No messages yet";
  const text = last.type === "FILE" ? last.file.name : last.message;
  const name = last.user ? (page.users.get(last.user.user_id)?.nickname ?? last.user.user_id) : "Admin";
  return `${last.user?.user_id === page.me ? "You" : name.split(" ")[0]}: ${text}`;
}

function makeChannel(channel) {
  const url = channel.channel_url;
  const row = el(
    "button",
    { className: "row", type: "button", data: { testid: `channel-${url}` } },
    el("span", { className: "glyph" }, icon(glyph(channel))),
    el("span", { className: "text" }, el("span", { className: "name" }), el("span", { className: "sub" })),
    el("span", { className: "badge", data: { testid: `unread-${url}` } }),
  );
  row.addEventListener("click", () => choose({ channel: url }));
  return el("li", {}, row);
}

function showRow(node, channel) {
  const unread = channel.unread_message_count ?? 0;
  const current = channel.channel_url === page.url;
  const row = node.firstElementChild;
  node.classList.toggle("current", current);
  node.classList.toggle("unread", unread > 0);
  node.classList.toggle("foreign", !page.isMember(channel));
  row.setAttribute("aria-current", String(current));
  write(row.querySelector(".name"), channel.name);
  write(row.querySelector(".sub"), page.isMember(channel) ? gist(channel) : "Not a member");
  const badge = row.querySelector(".badge");
  badge.hidden = unread === 0;
  badge.setAttribute("aria-label", `${unread} unread`);
  write(badge, unread > 99 ? "99+" : String(unread));
}

const newest = (channel) => channel.last_message?.created_at ?? channel.created_at * 1000;

export function showChannels() {
  // Channels that are mine come first, the liveliest on top.
  const rank = (channel) => (page.isMember(channel) ? 1 : 0);
  const sorted = page.channels.toSorted((one, other) => rank(other) - rank(one) || newest(other) - newest(one));
  sync(byId("channels"), sorted, (channel) => channel.channel_url, makeChannel, showRow);
}

export function showChannel() {
  const { channel } = page;
  byId("add-people").hidden = channel?.kind !== "group";
  if (!channel) {
    write(byId("channel-name"), "No channel yet");
    write(byId("channel-about"), "Make one with + beside Channels");
    byId("channel-faces").replaceChildren();
    byId("channel-glyph").replaceChildren(icon("bubble"));
    return;
  }
  const members = channel.member_ids.map((id) => page.users.get(id)).filter(Boolean);
  const bots = members.filter((member) => member.is_bot).length;
  const noun = channel.kind === "open" ? "participant" : "member";
  const about = [plural(members.length, noun), bots ? plural(bots, "bot") : "", channel.channel_url];
  write(byId("channel-name"), channel.name);
  write(byId("channel-about"), about.filter(Boolean).join(" · "));
  byId("channel-glyph").replaceChildren(icon(glyph(channel)));
  const shown = members.slice(0, FACES).map((member) => avatar(member, "small"));
  if (members.length > FACES) {
    shown.push(el("span", { className: "avatar small more", textContent: `+${members.length - FACES}` }));
  }
  byId("channel-faces").replaceChildren(...shown);
}
