/** The apps that use most, under the charts of the Overview. Arrives after the first chart. */

import '../style/apps.css';
import '../style/tables.css';
import { useMemo, useRef } from 'preact/hooks';
import { EngineNote, here, NoContainers } from '../apps/cells';
import { EventsNote } from '../apps/events_list';
import { arrange, type SortKey, type View } from '../apps/rows';
import { AppsTable } from '../apps/table';
import { useApps } from '../apps/use_apps';
import type { ContainerEvent } from '../events';
import { pageHref, route } from '../url';

const MOST = 10;

const CHOICES: { sort: SortKey; words: string }[] = [
  { sort: 'cpu', words: 'by CPU' },
  { sort: 'memory', words: 'by memory' },
  { sort: 'state', words: 'by trouble' },
];

/** What happened in the range, in words: the readable form of the marks. */
export function Happened({ events }: { events: ContainerEvent[] }) {
  return (
    <div class="span-12">
      <EventsNote events={events} />
    </div>
  );
}

export function TopApps() {
  const element = useRef<HTMLElement>(null);
  const { rows, figures, lines, engine, error, onShown } = useApps();
  const chosen = CHOICES.find((c) => c.sort === route.value.params.get('top')) ?? CHOICES[0];
  const sort = chosen?.sort ?? 'cpu';
  const view: View = { sort, down: true, show: 'all', find: '', grouped: false };
  const shown = useMemo(
    () => (rows ? arrange(rows, figures, view).slice(0, MOST) : []),
    [rows, figures, sort],
  );
  const count = rows?.length ?? 0;
  return (
    <section class="panel span-12 top-apps" ref={element} aria-label="Apps">
      <header>
        <h2>Apps</h2>
        <nav class="choice" aria-label="Order of apps">
          {CHOICES.map(({ sort: key, words }) => (
            <a
              key={key}
              href={here((next) => (key === 'cpu' ? next.delete('top') : next.set('top', key)))}
              aria-current={key === sort ? 'true' : undefined}
            >
              {words}
            </a>
          ))}
        </nav>
        <a class="all" href={pageHref('/apps', route.value.params)}>
          {count > MOST ? `All ${count}` : 'All apps'}
        </a>
      </header>
      {error && (
        <p class="note bad" role="alert">
          {error.message}
        </p>
      )}
      <EngineNote engine={engine} />
      {rows?.length === 0 && engine.state === 'connected' && <NoContainers />}
      {shown.length > 0 && (
        <AppsTable
          rows={shown}
          figures={figures}
          lines={lines.value}
          view={view}
          onShown={onShown}
        />
      )}
    </section>
  );
}
