/** Overview: is anything wrong, then the host at a glance, then its charts. */

import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { isAbort, now, query } from '../api';
import { fill, type Task, usePage, useTask } from '../live';
import { askAhead, Panel } from '../panel';
import { host, loadHosts } from '../server';
import { spell } from '../time';
import { server } from '../url';
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
  const panels = usePage().opened.value ? PANELS : PANELS.slice(0, AT_ONCE);
  return (
    <>
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
      </div>
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
        const expr = fill('time() - node_boot_time_seconds{$host}', 15, server.peek());
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
