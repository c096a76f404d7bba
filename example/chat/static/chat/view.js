// What is drawn: turns messages into elements, and keeps the conversation scrolled.
//
// Text that people wrote goes into the page as `textContent` only, never as HTML.

// Only these two schemes: no link in a message may run a script. A full stop at the end is the sentence's.
const ADDRESS = /(\bhttps?:\/\/[^\s<>"]*[^\s<>"'.,;:!?)\]}])/;
const PAUSE_THAT_SPLITS = 5 * 60 * 1000;
const NEAR_THE_END = 80;

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const calendar = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "long", timeStyle: "medium" });

/** Make an element: `element("p", { class: "hint" }, "text", anotherElement)`. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

/** Give an avatar its letter, and a colour that stays with the name. */
export function paintAvatar(avatar, name) {
  let hash = 7;
  for (const character of name) hash = (hash * 31 + character.codePointAt(0)) % 3600;
  avatar.textContent = [...name][0]?.toUpperCase() ?? "?";
  avatar.style.setProperty("--hue", hash % 360);
  return avatar;
}

export class Conversation {
  #scroller;
  #list;
  #outbox;
  #jump;
  #elements = new Map();
  #pinned = true;
  #below = 0;
  #myId;

  constructor({ scroller, list, outbox, jump }, onReadToTheEnd) {
    this.#scroller = scroller;
    this.#list = list;
    this.#outbox = outbox;
    this.#jump = jump;
    scroller.addEventListener("scroll", () => {
      const left = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight;
      this.#pinned = left < NEAR_THE_END;
      if (!this.#pinned) return;
      this.#showBelow(0);
      onReadToTheEnd();
    }, { passive: true });
    jump.addEventListener("click", () => this.scrollToEnd());
    // The keyboard of a phone or a growing text box must not hide the last message.
    const stay = new ResizeObserver(() => this.#pinned && this.scrollToEnd());
    stay.observe(scroller);
    stay.observe(list);
  }

  set myId(id) {
    this.#myId = id;
  }

  get pinned() {
    return this.#pinned;
  }

  scrollToEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#pinned = true;
    this.#showBelow(0);
  }

  /** Forget the room that was shown. */
  clear() {
    this.#elements.clear();
    this.#list.replaceChildren();
    this.#outbox.replaceChildren();
    this.#showBelow(0);
    this.#pinned = true;
  }

  /**
   * Show these messages, oldest first. What is on the page already stays there, so a
   * selection, the focus and what a screen reader has read are not disturbed.
   */
  show(messages, { quietly = false } = {}) {
    const keep = this.#pinned ? null : this.#anchor();
    // History is not news: nobody wants it read aloud, nor counted as unseen.
    this.#list.setAttribute("aria-busy", String(quietly));
    const before = this.#elements;
    const wanted = this.#arrange(messages);
    let cursor = this.#list.firstChild;
    for (const node of wanted.values()) {
      if (node === cursor) cursor = cursor.nextSibling;
      else this.#list.insertBefore(node, cursor);
    }
    while (cursor) {
      const next = cursor.nextSibling;
      cursor.remove();
      cursor = next;
    }
    this.#elements = wanted;
    const fresh = messages.filter((message) => !before.has(message.id));
    if (!quietly) for (const message of fresh) wanted.get(message.id).classList.add("fresh");
    if (keep) this.#restore(keep, quietly ? 0 : fresh.length);
    else this.scrollToEnd();
    if (quietly) requestAnimationFrame(() => this.#list.setAttribute("aria-busy", "false"));
  }

  /** Show what was written here and has not come back from the server yet. */
  showOutbox(entries, { retry, edit, discard }) {
    this.#outbox.replaceChildren(
      ...entries.map((entry) =>
        element("article", { class: `message mine first pending ${entry.problem ? "failed" : ""}` },
          element("div", { class: `bubble ${entry.picture ? "with-picture" : ""}` },
            ...contents(entry.picture && element("img", { class: "picture", src: entry.preview, alt: "", error: showNothing }), entry.text)),
          entry.problem
            ? element("p", { class: "fate" }, `${entry.problem} `,
                entry.mayPass ? element("button", { type: "button", class: "link", click: () => retry(entry) }, "Try again") : null, " ",
                entry.text ? element("button", { type: "button", class: "link", click: () => edit(entry) }, "Edit") : null, " ",
                element("button", { type: "button", class: "link", click: () => discard(entry) }, "Discard"))
            : element("p", { class: "fate" }, "Sending…"))));
    if (this.#pinned) this.scrollToEnd();
  }

  #arrange(messages) {
    const wanted = new Map();
    let previous = null;
    for (const message of messages) {
      const day = message.sentAt.toDateString();
      const newDay = previous?.sentAt.toDateString() !== day;
      if (newDay) wanted.set(day, this.#elements.get(day) ?? daySeparator(message.sentAt));
      const node = this.#elements.get(message.id) ?? this.#draw(message);
      const first = newDay || previous.author.id !== message.author.id
        || message.sentAt - previous.sentAt > PAUSE_THAT_SPLITS;
      node.classList.toggle("first", first);
      wanted.set(message.id, node);
      previous = message;
    }
    return wanted;
  }

  #draw(message) {
    const mine = message.author.id === this.#myId;
    const { name, isGuest } = message.author;
    const time = clock.format(message.sentAt);
    const avatar = element("span", { class: "avatar", "aria-hidden": "true" });
    return element("article", { class: `message ${mine ? "mine" : ""}`, "data-id": message.id },
      mine ? null : paintAvatar(avatar, name),
      element("p", { class: "byline" },
        element("strong", mine ? { class: "visually-hidden" } : {}, mine ? "You" : name),
        isGuest && !mine ? element("span", { class: "tag" }, "guest") : null,
        element("time", { datetime: message.sentAt.toISOString() }, time)),
      element("div", { class: `bubble ${message.picture ? "with-picture" : ""}`, title: exact.format(message.sentAt) },
        ...contents(message.picture && picture(message), message.text)));
  }

  // The first message in sight, and where it stands: after drawing it stands there again.
  #anchor() {
    const top = this.#scroller.getBoundingClientRect().top;
    for (const node of this.#elements.values()) {
      const { bottom, top: nodeTop } = node.getBoundingClientRect();
      if (bottom > top) return { node, nodeTop };
    }
    return null;
  }

  #restore({ node, nodeTop }, fresh) {
    if (node.isConnected) {
      this.#scroller.scrollTop += node.getBoundingClientRect().top - nodeTop;
    }
    if (fresh) this.#showBelow(this.#below + fresh);
  }

  #showBelow(count) {
    this.#below = count;
    this.#jump.hidden = count === 0;
    this.#jump.textContent = count === 1 ? "1 new message ↓" : `${count} new messages ↓`;
  }
}

/** A listener of `error`: a picture that cannot be painted leaves its frame empty. */
export function showNothing(event) {
  event.target.style.visibility = "hidden";
}

function contents(shown, text) {
  if (!shown) return withLinks(text);
  return [shown, text ? element("span", { class: "caption" }, ...withLinks(text)) : null];
}

/** Split a text into pieces, in which addresses of the web are links. */
export function withLinks(text) {
  return text.split(ADDRESS).map((piece, place) => (place % 2 && URL.canParse(piece)
    ? element("a", { href: piece, target: "_blank", rel: "noopener noreferrer nofollow" }, piece)
    : piece));
}

// Its frame has the same size whatever is in it: nothing moves when the picture has come.
function picture({ picture: address, author: { name } }) {
  return element("a", { href: address, target: "_blank", rel: "noopener" },
    element("img", { class: "picture", src: address, alt: `A picture from ${name}` }));
}

function daySeparator(date) {
  const today = new Date();
  const yesterday = new Date(today);
  yesterday.setDate(today.getDate() - 1);
  const day = date.toDateString();
  let text = calendar.format(date);
  if (day === today.toDateString()) text = "Today";
  else if (day === yesterday.toDateString()) text = "Yesterday";
  return element("p", { class: "day" }, element("span", {}, text));
}
