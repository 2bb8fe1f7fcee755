// The messages of the open channel.

import { avatar, byId, dayOf, el, exactTimeOf, icon, sizeOf, sync, timeOf } from "./dom.js";
import { page } from "./state.js";

const TOGETHER = 4 * 60_000;
const NEAR_END = 120;
const LINK = /(https?:\/\/[^\s<>"]+[^\s<>".,;:!?)\]])/;
const PICTURE = /^image\/(png|jpeg|gif|webp)$/;
const OURS = /^\/files\/[0-9a-f]{32}\/[^/]+$/;

let atEnd = true;

const messageList = () => byId("messages");

/** Keep the end in view, if that is where the reader was: pictures and banners come later. */
function stay() {
  const list = messageList();
  if (atEnd) list.scrollTop = list.scrollHeight;
}

export function setUpMessages() {
  const list = messageList();
  let before = 0;
  list.addEventListener("scroll", () => {
    // A picture that loads moves the end away; only who scrolls up has left it.
    if (list.scrollHeight - list.scrollTop - list.clientHeight < NEAR_END) atEnd = true;
    else if (list.scrollTop < before) atEnd = false;
    before = list.scrollTop;
  });
  new ResizeObserver(stay).observe(list);
}

/** Only web addresses become links. Our own files are fetched from where the page is. */
function address(text) {
  try {
    const url = new URL(text);
    if (OURS.test(url.pathname) && url.port === location.port) return { href: url.pathname, ours: true };
    return /^https?:$/.test(url.protocol) ? { href: url.href, ours: false } : null;
  } catch {
    return null;
  }
}

function link(href, properties, ...children) {
  return el("a", { href, target: "_blank", rel: "noopener noreferrer", ...properties }, ...children);
}

function words(text) {
  return text.split(LINK).map((part, index) => {
    const found = index % 2 ? address(part) : null;
    return found ? link(found.href, { textContent: part }) : document.createTextNode(part);
  });
}

function file({ name, url, type, size }) {
  const found = address(url);
  const label = el(
    "span",
    { className: "file-text" },
    el("span", { className: "file-name", textContent: name }),
    el("span", { className: "file-size", textContent: [sizeOf(size), type].filter(Boolean).join(" · ") }),
  );
  const card = [el("span", { className: "file-icon" }, icon("file")), label];
  const properties = { className: "file", data: { testid: "file" } };
  const row = found ? link(found.href, properties, ...card) : el("span", properties, ...card);
  if (!found?.ours || !PICTURE.test(type)) return [row];
  return [el("img", { className: "picture", src: found.href, alt: name, onload: stay }), row];
}

function content(message) {
  return message.type === "FILE" ? file(message.file) : words(message.message);
}

function adminMessage(message) {
  return [
    el(
      "div",
      { className: "notice" },
      icon("horn"),
      el("span", { className: "notice-title", textContent: "Admin" }),
      el("span", { className: "body" }, ...content(message)),
      el("time", { textContent: timeOf(message.created_at), title: exactTimeOf(message.created_at) }),
    ),
  ];
}

function personalMessage(message) {
  const user = page.users.get(message.user.user_id) ?? message.user;
  const head = el(
    "div",
    { className: "head" },
    el("span", { className: "author", textContent: user.nickname || user.user_id }),
    user.is_bot ? el("span", { className: "bot-badge", textContent: "Bot" }) : null,
    el("time", {
      textContent: timeOf(message.created_at),
      title: exactTimeOf(message.created_at),
      dateTime: new Date(message.created_at).toISOString(),
    }),
  );
  const edited = message.updated_at ? el("span", { className: "edited", textContent: " (edited)" }) : null;
  const bubble = el("div", { className: `bubble ${message.type.toLowerCase()}` }, ...content(message), edited);
  return [avatar(user), el("div", { className: "said" }, head, bubble)];
}

function makeMessage(item) {
  if (item.day) return el("div", { className: "day" }, el("span", { textContent: item.day }));
  const { message } = item;
  const node = el("article", {
    className: "message",
    data: { testid: "message", id: message.message_id, type: message.type },
  });
  return node;
}

function showMessage(node, item) {
  if (item.day) return;
  const { message, follows } = item;
  const mine = message.user?.user_id === page.me;
  node.className = ["message", mine ? "mine" : "", follows ? "follows" : "", message.user ? "" : "admin"].join(" ");
  const name = message.user && page.users.get(message.user.user_id)?.nickname;
  const version = `${message.updated_at}/${name}`;
  if (node.dataset.version === version) return;
  node.dataset.version = version;
  node.replaceChildren(...(message.user ? personalMessage(message) : adminMessage(message)));
}

function items() {
  const found = [];
  let before = null;
  for (const message of page.messages) {
    const day = dayOf(message.created_at);
    if (!before || dayOf(before.created_at) !== day) {
      found.push({ key: `day ${day}`, day });
      before = null;
    }
    const sameAuthor = before?.user && before.user.user_id === message.user?.user_id;
    const follows = Boolean(sameAuthor) && message.created_at - before.created_at < TOGETHER;
    found.push({ key: message.message_id, message, follows });
    before = message;
  }
  return found;
}

/** Show the messages; stay at the end if that is where the reader is, or go there if `jump`. */
export function showMessages({ jump }) {
  const list = messageList();
  atEnd ||= jump;
  const found = items();
  list.classList.toggle("nothing", found.length === 0);
  if (found.length === 0) {
    const invitation = page.isMember() ? "No messages yet. Say something." : "No messages yet.";
    list.replaceChildren(el("div", { className: "empty" }, icon("bubble"), el("p", { textContent: invitation })));
    return;
  }
  for (const node of list.querySelectorAll(":scope > .empty")) node.remove();
  sync(list, found, (item) => item.key, makeMessage, showMessage);
  stay();
}

