/** Overview: is anything wrong, then the host at a glance, then its charts. */

import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { isAbort, now, query } from '../api';
import { fill, type Task, useTask } from '../live';
import { Panel } from '../panel';
import { host, loadHosts } from '../server';
import { spell } from '../time';
import { server } from '../url';
import { CARDS, Card } from './cards';
import { Health } from './health';
import { PANELS } from './overview_panels';

export function Overview() {
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
        {PANELS.map((spec) => (
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
