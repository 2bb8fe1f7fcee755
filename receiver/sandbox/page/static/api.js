// Calls to the page's own endpoints. They need no API token; Sendbird's API under /v3 does.

async function call(method, path, body, type = "application/json") {
  const answer = await fetch(`/page${path}`, {
    method,
    headers: method === "GET" ? {} : { "content-type": type, "x-receiver-page": "1" },
    body: method === "GET" || body === undefined ? undefined : type === "application/json" ? JSON.stringify(body) : body,
  });
  const text = await answer.text();
  if (answer.ok) return JSON.parse(text);
  if (answer.status === 401) location.reload(); // the session is over: the same address asks for the token
  let message = text.trim();
  try {
    message = JSON.parse(text).message;
  } catch {
    // Not the sandbox's own answer.
  }
  throw new Error(message || `The sandbox answered ${answer.status}.`);
}

const part = encodeURIComponent;

export const loadState = (userId) => call("GET", `/state?user_id=${part(userId)}`);
export const loadMessages = (url) => call("GET", `/channels/${part(url)}/messages`);
export const sendText = (url, body) => call("POST", `/channels/${part(url)}/messages`, body);
export const markRead = (url, userId) => call("POST", `/channels/${part(url)}/read`, { user_id: userId });
export const switchOnline = (userId, online) => call("PUT", `/users/${part(userId)}`, { is_online: online });
export const createUser = (body) => call("POST", "/users", body);
export const createChannel = (body) => call("POST", "/channels", body);
export const addMembers = (url, userIds, inviterId) =>
  call("POST", `/channels/${part(url)}/members`, { user_ids: userIds, inviter_id: inviterId });

export function sendFile(url, userId, file) {
  const query = new URLSearchParams({ user_id: userId, name: file.name, type: file.type });
  return call("POST", `/channels/${part(url)}/files?${query}`, file, "application/octet-stream");
}
