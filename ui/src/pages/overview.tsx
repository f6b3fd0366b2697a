/** Overview: is anything wrong, then the host at a glance, then its charts. */

import { type Signal, useComputed, useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { isAbort, now, query } from '../api';
import { type ContainerEvent, isWeighty, MarksContext, toMark, useEvents } from '../events';
import { fill, type Task, useTask } from '../live';
import { Panel } from '../panel';
import { useReadings } from '../readings';
import { host, instance, isLocal, loadHosts } from '../server';
import { spell } from '../time';
import { CARDS, Card } from './cards';
import { Health } from './health';
import { PANELS } from './overview_panels';

export function Overview() {
  useReadings(isLocal.value);
  const events = useEvents(null);
  const weighty = useComputed(() => events.value.filter(isWeighty));
  const marks = useComputed(() => weighty.value.slice(-MOST_MARKS).map(toMark));
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
        {PANELS.map((spec) => (
          <Panel key={spec.id} spec={spec} />
        ))}
        <Below events={weighty} />
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
