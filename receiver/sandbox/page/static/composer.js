// Where one writes, and what stands around it: joining, the banner of those who are offline.

import * as api from "./api.js";
import { byId, write } from "./dom.js";
import { attempt, page } from "./state.js";

const HIGHEST = 180;
let asAdmin = false;

const input = () => byId("message-input");

function fit() {
  const field = input();
  field.style.height = "auto";
  field.style.height = `${Math.min(field.scrollHeight, HIGHEST)}px`;
  byId("send").disabled = !field.value.trim();
}

async function send() {
  const field = input();
  const text = field.value;
  if (!text.trim() || !page.channel) return;
  field.value = "";
  fit();
  const body = asAdmin ? { message: text, admin: true } : { message: text, user_id: page.me };
  const sent = await attempt(() => api.sendText(page.url, body));
  if (!sent && !field.value) {
    field.value = text;
    fit();
  }
  if (sent && asAdmin) setAdmin(false);
}

function setAdmin(on) {
  asAdmin = on;
  byId("admin-toggle").setAttribute("aria-pressed", String(on));
  byId("composer").classList.toggle("as-admin", on);
  showComposer();
}

async function sendFiles(files) {
  for (const file of files) await attempt(() => api.sendFile(page.url, page.me, file));
}

export function setUpComposer() {
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  input().addEventListener("input", fit);
  input().addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  });
  byId("admin-toggle").addEventListener("click", () => {
    setAdmin(!asAdmin);
    input().focus();
  });
  byId("file-button").addEventListener("click", () => byId("file-input").click());
  byId("file-input").addEventListener("change", async (event) => {
    const files = [...event.target.files];
    event.target.value = "";
    await sendFiles(files);
  });
  const list = byId("messages");
  list.addEventListener("dragover", (event) => event.preventDefault());
  list.addEventListener("drop", (event) => {
    event.preventDefault();
    if (page.isMember()) sendFiles([...event.dataTransfer.files]);
  });
  byId("go-online").addEventListener("click", () => attempt(() => api.switchOnline(page.me, true)));
  byId("join-button").addEventListener("click", () => attempt(() => api.addMembers(page.url, [page.me])));
  fit();
}

export function showComposer() {
  const { channel, myself } = page;
  const name = myself ? myself.nickname || myself.user_id : "";
  const member = page.isMember();
  byId("composer").hidden = !member;
  byId("keys").hidden = !member;
  byId("bots-hear").hidden = channel?.kind === "open";
  byId("bots-absent").hidden = channel?.kind !== "open";
  byId("join").hidden = member || !channel || !myself;
  write(byId("join-text"), `${name} is not a member of this channel.`);
  input().placeholder = asAdmin ? "Admin message to everyone here" : `Message ${channel?.name ?? ""} as ${name}`;
  byId("offline-banner").hidden = !myself || myself.is_online;
  write(byId("offline-text"), `${name} is offline: messages stay unread, and webhooks say so.`);
}
