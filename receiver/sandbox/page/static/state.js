// What the page knows, and what its user has chosen.

import { toast } from "./dom.js";

export const page = {
  me: "",
  url: "",
  users: new Map(),
  channels: [],
  messages: [],
  deliveries: new Map(),
  webhook: "",

  get channel() {
    return this.channels.find((channel) => channel.channel_url === this.url);
  },
  get myself() {
    return this.users.get(this.me);
  },
  /** Tell whether I can speak in a channel: an open one, or a group that I am in. */
  isMember(channel = this.channel) {
    return Boolean(channel) && (channel.kind === "open" || channel.member_ids.includes(this.me));
  },
};

const wishes = new EventTarget();

/** Ask for another user, another channel or both. */
export const choose = (wanted) => wishes.dispatchEvent(new CustomEvent("choose", { detail: wanted }));
export const onChoose = (act) => wishes.addEventListener("choose", (event) => act(event.detail));

/** Run something that may fail, and say so if it does. */
export async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    toast(error.message);
    return undefined;
  }
}
