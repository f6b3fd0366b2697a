/** The top of the Overview: the line of health, the name of the host, its cards. Arrives after the first chart. */

import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { isAbort, now, query } from '../api';
import { type Task, useTask } from '../live';
import { fill } from '../questions';
import { host, instance, loadHosts, shownName } from '../server';
import { spell } from '../time';
import { CARDS, Card } from './cards';
import { Health } from './health';

export { Servers } from './overview_servers';

export function Lead() {
  return (
    <>
      <Health />
      <HostLine />
    </>
  );
}

export function Cards() {
  return (
    <>
      {CARDS.map((spec) => (
        <Card key={spec.id} spec={spec} />
      ))}
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
  const name = shownName.value;
  useEffect(() => {
    document.title = name ? `${name} · Masthead` : 'Masthead';
  }, [name]);
  const parts = about ? [`${about.sysname} ${about.release}`, about.machine] : [];
  if (up.value !== null) parts.unshift(`up ${spell(up.value)}`);
  return (
    <section class="host" ref={element} aria-label="Host">
      {parts.join(' · ')}
    </section>
  );
}
