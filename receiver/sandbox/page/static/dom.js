// Small tools for building the page. Text only ever becomes text: nothing here parses HTML.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

/** Make an element. Properties are set as properties, `data` and `aria` as attributes. */
export function el(tag, properties = {}, ...children) {
  const { data = {}, aria = {}, ...rest } = properties;
  const node = document.createElement(tag);
  Object.assign(node, rest);
  for (const [name, value] of Object.entries(data)) node.dataset[name] = value;
  for (const [name, value] of Object.entries(aria)) node.setAttribute(`aria-${name}`, value);
  node.append(...children.filter((child) => child !== null));
  return node;
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** Set text only where it differs, so that a selection is not lost. */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Make the children of `parent` match `items`, keeping the nodes (and focus) of those that stay. */
export function sync(parent, items, key, make, update) {
  const old = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const id = String(key(item));
    let node = old.get(id);
    if (node) {
      old.delete(id);
    } else {
      node = make(item);
      node.dataset.key = id;
    }
    update(node, item);
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
  for (const node of old.values()) node.remove();
}

function hue(id) {
  let sum = 0;
  for (const letter of id) sum = (sum * 31 + letter.codePointAt(0)) % 997;
  return sum % 8;
}

export function initials(name) {
  const words = name.trim().split(/\s+/).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words.at(-1)] : words;
  return letters.map((word) => [...word][0]).join("").toUpperCase() || "?";
}

export function avatar(user, size = "") {
  const name = user.nickname || user.user_id;
  return el("span", {
    className: `avatar hue-${hue(user.user_id)} ${size} ${user.is_bot ? "square" : ""}`,
    textContent: initials(name),
    title: name,
    aria: { hidden: "true" },
  });
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const seconds = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });
const date = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });

export const timeOf = (ms) => clock.format(ms);
export const exactTimeOf = (ms) => seconds.format(ms);

export function dayOf(ms) {
  const midnight = new Date().setHours(0, 0, 0, 0);
  if (ms >= midnight) return "Today";
  return ms >= midnight - 86_400_000 ? "Yesterday" : date.format(ms);
}

export function sizeOf(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 1_000_000) return `${(bytes / 1000).toFixed(bytes < 10_000 ? 1 : 0)} kB`;
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}

export const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

/** Show a message that goes away by itself. */
export function toast(text) {
  const node = el("p", { className: "toast", textContent: text });
  byId("toasts").append(node);
  setTimeout(() => node.remove(), 6000);
}
