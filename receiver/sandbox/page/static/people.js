// The list of users, with the switch that takes them offline, and the list of bots.

import * as api from "./api.js";
import { avatar, byId, el, sync, write } from "./dom.js";
import { attempt, choose, page } from "./state.js";

const nameOf = (user) => user.nickname || user.user_id;

function makeUser({ user_id: id, ...user }) {
  const who = el(
    "button",
    { className: "row", type: "button", data: { testid: `user-${id}` } },
    el("span", { className: "face" }, avatar({ user_id: id, ...user }), el("span", { className: "presence" })),
    el("span", { className: "text" }, el("span", { className: "name" }), el("span", { className: "sub" })),
  );
  who.addEventListener("click", () => choose({ user: id }));
  const online = el("button", { className: "switch", type: "button", data: { testid: `online-${id}` } });
  online.setAttribute("role", "switch");
  online.addEventListener("click", () => attempt(() => api.switchOnline(id, !page.users.get(id).is_online)));
  return el("li", {}, who, online);
}

function showUser(node, user) {
  const [who, online] = node.children;
  const mine = user.user_id === page.me;
  node.classList.toggle("current", mine);
  node.classList.toggle("online", user.is_online);
  who.setAttribute("aria-pressed", String(mine));
  write(who.querySelector(".name"), nameOf(user));
  write(who.querySelector(".sub"), user.is_online ? "Online" : "Offline");
  online.setAttribute("aria-checked", String(user.is_online));
  online.setAttribute("aria-label", `${nameOf(user)} is online`);
  online.title = `Switch ${nameOf(user)} ${user.is_online ? "offline" : "online"}`;
}

export function showUsers() {
  const people = [...page.users.values()].filter((user) => !user.is_bot);
  sync(byId("users"), people, (user) => user.user_id, makeUser, showUser);
}

function makeBot(bot) {
  return el(
    "li",
    { data: { testid: `bot-${bot.user_id}` } },
    el(
      "span",
      { className: "row" },
      avatar(bot),
      el("span", { className: "text" }, el("span", { className: "name" }), el("span", { className: "sub" })),
    ),
  );
}

function showBot(node, bot) {
  write(node.querySelector(".name"), nameOf(bot));
  write(node.querySelector(".sub"), bot.is_privacy_mode ? `Hears / and @${bot.user_id}` : "Hears everything");
}

export function showBots() {
  const bots = [...page.users.values()].filter((user) => user.is_bot);
  byId("no-bots").hidden = bots.length > 0;
  sync(byId("bots"), bots, (bot) => bot.user_id, makeBot, showBot);
}
