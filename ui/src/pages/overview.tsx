/** Overview: is anything wrong, then the host at a glance, then its charts. */

import { type Signal, useComputed, useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { isAbort, now, query } from '../api';
import { type ContainerEvent, isWeighty, MarksContext, toMark, useEvents } from '../events';
import { fill, type Task, usePage, useTask } from '../live';
import { askAhead, Panel } from '../panel';
import { useReadings } from '../readings';
import { host, instance, isLocal, loadHosts } from '../server';
import { spell } from '../time';
import { CARDS, Card } from './cards';
import { Health } from './health';
import { PANELS } from './overview_panels';

/** Panels that are there from the beginning: what a screen shows of them. The others come after the first chart. */
const AT_ONCE = 2;

/**
 * Asks the first chart's question, at about the width that it will have, before anything is drawn. The promise ends
 * with the answer.
 */
export async function askFirst(): Promise<void> {
  const first = PANELS.find((spec) => spec.first);
  const columns = window.innerWidth < 700 ? 1 : 2;
  if (first) await askAhead(first, Math.min(window.innerWidth, 1700) / columns - 60);
}

export function Overview() {
  const opened = usePage().opened.value;
  useReadings(opened && isLocal.value);
  const events = useEvents(null);
  const weighty = useComputed(() => events.value.filter(isWeighty));
  const marks = useComputed(() => weighty.value.slice(-MOST_MARKS).map(toMark));
  const panels = opened ? PANELS : PANELS.slice(0, AT_ONCE);
  return (
    <MarksContext.Provider value={marks}>
      <div class="lead">
        <Health />
        <HostLine />
      </div>
      <div class="grid">
        {CARDS.map((spec) => (
          <Card key={spec.id} spec={spec} />
        ))}
        {panels.map((spec) => (
          <Panel key={spec.id} spec={spec} />
        ))}
        {opened && <Below events={weighty} />}
      </div>
    </MarksContext.Provider>
  );
}

/** More marks than this would be a wall; the list of Apps and of an app has all of them. */
const MOST_MARKS = 200;

/** What stands under the charts comes with a script of its own, once the charts are on their way. */
function Below({ events }: { events: Signal<ContainerEvent[]> }) {
  const parts = useSignal<typeof import('./overview_apps') | null>(null);
  useEffect(() => {
    import('./overview_apps').then(
      (loaded) => {
        parts.value = loaded;
      },
      // A page of an older version: the next navigation says so and asks for a reload.
      () => undefined,
    );
  }, [parts]);
  if (!parts.value) return null;
  const { TopApps, Happened } = parts.value;
  return (
    <>
      <TopApps />
      <Happened events={events.value} />
    </>
  );
}

/** Which machine this is, and for how long it has been up. */
function HostLine() {
  const element = useRef<HTMLElement>(null);
  const up = useSignal<number | null>(null);
  const task = useRef<Task>({
    visible: true,
    rank: 2,
    ranged: false,
    async run(signal) {
      try {
        const expr = fill('time() - node_boot_time_seconds{$host}', 15, instance.peek());
        const [, answer] = await Promise.all([loadHosts(signal), query(expr, now(), signal)]);
        up.value = answer.data[0]?.value ?? null;
      } catch (error) {
        // The health line says what failed; a name that is missing says nothing more.
        if (!isAbort(error)) up.value = null;
      }
    },
  });
  useTask(task.current, element);
  const about = host.value?.metric;
  useEffect(() => {
    document.title = about?.nodename ? `${about.nodename} · Masthead` : 'Masthead';
  }, [about?.nodename]);
  const parts = about ? [`${about.sysname} ${about.release}`, about.machine] : [];
  if (up.value !== null) parts.unshift(`up ${spell(up.value)}`);
  return (
    <section class="host" ref={element} aria-label="Host">
      {parts.join(' · ')}
    </section>
  );
}
