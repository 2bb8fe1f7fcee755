// The dialogs: new user, new channel, add people and bots to a channel.

import * as api from "./api.js";
import { avatar, byId, el } from "./dom.js";
import { attempt, choose, page } from "./state.js";

function offer(fieldset, users, checked) {
  const rows = users.map((user) => {
    const box = el("input", { type: "checkbox", name: "user_ids", value: user.user_id, checked: checked(user) });
    const name = el("span", { className: "name", textContent: user.nickname || user.user_id });
    const badge = user.is_bot ? el("span", { className: "bot-badge", textContent: "Bot" }) : null;
    const label = el("label", { data: { testid: `pick-${user.user_id}` } }, box, avatar(user, "small"), name, badge);
    return el("li", {}, label);
  });
  fieldset.querySelector("ul").replaceChildren(...rows);
  fieldset.hidden = users.length === 0;
}

function setUp(name, opened, submitted) {
  const dialog = byId(`${name}-dialog`);
  const form = byId(`${name}-form`);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const done = await attempt(() => submitted(new FormData(form)));
    if (done) dialog.close();
  });
  for (const button of dialog.querySelectorAll("[data-close]")) {
    button.addEventListener("click", () => dialog.close());
  }
  return () => {
    form.reset();
    opened();
    dialog.showModal();
  };
}

export function setUpDialogs() {
  const users = () => [...page.users.values()];

  const newUser = setUp("user", () => {}, async (data) => {
    const user = await api.createUser({ user_id: data.get("user_id").trim(), nickname: data.get("nickname").trim() });
    choose({ user: user.user_id });
    return user;
  });

  const newChannel = setUp(
    "channel",
    () => offer(byId("channel-people"), users(), (user) => user.user_id === page.me),
    async (data) => {
      const channel = await api.createChannel({
        name: data.get("name").trim(),
        kind: data.get("kind"),
        user_ids: data.getAll("user_ids"),
      });
      choose({ channel: channel.channel_url });
      return channel;
    },
  );
  byId("channel-form").addEventListener("change", (event) => {
    if (event.target.name === "kind") byId("channel-people").hidden = event.target.value === "open";
  });

  const addPeople = setUp(
    "people",
    () => {
      const absent = users().filter((user) => !page.channel.member_ids.includes(user.user_id));
      absent.sort((one, other) => Number(other.is_bot) - Number(one.is_bot));
      offer(byId("people"), absent, () => false);
      byId("nobody-left").hidden = absent.length > 0;
    },
    async (data) => {
      const ids = data.getAll("user_ids");
      return ids.length ? api.addMembers(page.url, ids, page.isMember() ? page.me : undefined) : true;
    },
  );

  byId("new-user").addEventListener("click", newUser);
  byId("new-channel").addEventListener("click", newChannel);
  byId("add-people").addEventListener("click", addPeople);
}
