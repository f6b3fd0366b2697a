/** Events in words: the readable form of a chart's marks. */

import { useSignal } from '@preact/signals';
import { type ContainerEvent, countEvents, eventWords, kindOf } from '../events';
import { clock, day, zone } from '../time';
import { appHref } from './cells';

/** Shown at first; the others wait behind a button. */
const FIRST = 12;

export function EventsTable({ events, apps }: { events: ContainerEvent[]; apps: boolean }) {
  const all = useSignal(false);
  const newestFirst = [...events].reverse();
  const shown = all.value ? newestFirst : newestFirst.slice(0, FIRST);
  if (events.length === 0) {
    return <p class="void">Nothing happened to its containers in this range.</p>;
  }
  return (
    <>
      <table class="events">
        <thead>
          <tr>
            <th scope="col">Time</th>
            {apps && <th scope="col">App</th>}
            <th scope="col">Container</th>
            <th scope="col">Event</th>
            <th scope="col">Image</th>
          </tr>
        </thead>
        <tbody>
          {shown.map((event) => (
            <tr key={`${event.time} ${event.id} ${event.event}`}>
              <td>
                <time title={zone(event.time)}>
                  <span class="quiet">{day(event.time)}</span> {clock(event.time)}
                </time>
              </td>
              {apps && (
                <td>
                  <a href={appHref(event.app)}>{event.app}</a>
                </td>
              )}
              <td>{event.container}</td>
              <td>
                <span class={`mark ${kindOf(event)}`}>{eventWords(event)}</span>
              </td>
              <td class="quiet">{event.image ?? ''}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {events.length > FIRST && (
        <button type="button" class="link more" onClick={() => (all.value = !all.value)}>
          {all.value ? 'Show the newest only' : `Show all ${events.length}`}
        </button>
      )}
    </>
  );
}

/** "3 deploys · 1 OOM kill", which opens to the list; it also explains the heads of the marks. */
export function EventsNote({ events }: { events: ContainerEvent[] }) {
  const counts = countEvents(events);
  if (counts.length === 0) return null;
  return (
    <details class="events-note panel sheet">
      <summary>
        <span class="quiet">In this range</span>
        {counts.map(({ kind, text }) => (
          <span key={text} class={`mark ${kind}`}>
            {text}
          </span>
        ))}
      </summary>
      <EventsTable events={events} apps />
    </details>
  );
}
