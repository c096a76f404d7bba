// A plugin of GraphiQL: what a subscription has received so far, while the response shows the last event.
import { useSyncExternalStore } from "react";

const TIME = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  fractionalSecondDigits: 3,
  hourCycle: "h23",
});

/** Return the plugin that shows the events of a log. */
export function pastEventsPlugin(log) {
  return { title: "Past Events", icon: Icon, content: () => <PastEvents log={log} /> };
}

function Icon() {
  return (
    <svg viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinecap="round" aria-hidden="true">
      <path d="M8 6h12M8 12h12M8 18h12" />
      <path d="M4 6h.01M4 12h.01M4 18h.01" strokeWidth="2.5" />
    </svg>
  );
}

function PastEvents({ log }) {
  const entries = useSyncExternalStore(log.listen, log.entries);
  return (
    <section aria-label="Past events" className="graphiql-past-events">
      <div className="graphiql-history-header">
        Past events
        {entries.length > 0 && (
          <button type="button" className="graphiql-un-styled" onClick={log.clear}>
            Clear
          </button>
        )}
      </div>
      {entries.length === 0 ? (
        <p>None yet. Run a subscription: each event that comes is listed here, the newest first.</p>
      ) : (
        <ol reversed>
          {entries.map((entry) => (
            <PastEvent key={entry.number} {...entry} />
          ))}
        </ol>
      )}
    </section>
  );
}

function PastEvent({ number, time, result }) {
  return (
    <li>
      <details>
        <summary>
          <span className="graphiql-past-event-number">{number}</span>
          <time dateTime={time.toISOString()}>{TIME.format(time)}</time>
          <code>{JSON.stringify(result.errors?.length ? result : result.data)}</code>
        </summary>
        <pre tabIndex={0}>{JSON.stringify(result, null, 2)}</pre>
      </details>
    </li>
  );
}
