// The events of the latest subscription, for those who look at more than the last one.

const MOST_EVENTS = 200;

/** A bounded list of events, the newest first. */
export class EventLog {
  #entries = [];
  #count = 0;
  #listeners = new Set();

  // The two methods that `useSyncExternalStore` takes.
  listen = (listener) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };
  entries = () => this.#entries;

  /** Forget the events: another subscription has started. */
  started() {
    this.#count = 0;
    this.#set([]);
  }

  /** Keep an event, and forget the oldest if there are too many. */
  add(result) {
    this.#count += 1;
    const entry = { number: this.#count, time: new Date(), result };
    this.#set([entry, ...this.#entries].slice(0, MOST_EVENTS));
  }

  /** Forget all events. */
  clear = () => this.#set([]);

  #set(entries) {
    this.#entries = entries;
    this.#listeners.forEach((listener) => listener());
  }
}
