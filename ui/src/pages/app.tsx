/**
 * One app: its charts summed and single over redeploys, its containers, what happened to them, and
 * what runs in them. An app without containers still shows its history.
 */

import '../style/tables.css';
import '../style/apps.css';
import { useComputed } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';
import { now } from '../api';
import { appHref, EngineNote, here, State } from '../apps/cells';
import { ContainersTable, Facts } from '../apps/containers_table';
import { EventsTable } from '../apps/events_list';
import { appPanels } from '../apps/panels';
import { Processes } from '../apps/processes';
import { type AppRow, crashes, groupApps, LATELY_SECONDS } from '../apps/rows';
import { type Inventory, loadInventory } from '../containers';
import { type ContainerEvent, MarksContext, toMark, useEvents } from '../events';
import { useLoaded } from '../load';
import { Panel } from '../panel';
import { useReadings } from '../readings';
import { isLocal } from '../server';
import { pageHref, route } from '../url';
import { Liveness } from './apps';

export function AppPage() {
  const name = route.value.params.get('name') ?? '';
  if (name === '') {
    return (
      <p class="note">
        This link names no app. <a href={pageHref('/apps', route.value.params)}>All apps</a>
      </p>
    );
  }
  return <OneApp key={name} name={name} />;
}

function OneApp({ name }: { name: string }) {
  useReadings(isLocal.value);
  const { params } = route.value;
  const container = params.get('container');
  const each = container === null && params.get('each') === '1';
  const inventory = useLoaded<Inventory>(loadInventory).value;
  const all = useEvents(name);
  const events = useComputed(() => chosen(all.value, route.value.params.get('container')));
  const marks = useComputed(() => events.value.map(toMark));
  const containers = inventory.data?.containers;
  const row = useMemo(() => {
    const lately = all.value.filter((event) => event.time > now() - LATELY_SECONDS);
    return (
      groupApps(
        (containers ?? []).filter((c) => c.app === name),
        crashes(lately),
      )[0] ?? null
    );
  }, [containers, name, all.value]);
  const panels = useMemo(() => appPanels({ app: name, container, each }), [name, container, each]);
  useEffect(() => {
    document.title = `${name} · Masthead`;
  }, [name]);
  return (
    <MarksContext.Provider value={marks}>
      <Title name={name} row={row} container={container} each={each} />
      {inventory.error && (
        <p class="note bad" role="alert">
          {inventory.error.message}
        </p>
      )}
      {inventory.data && <EngineNote engine={inventory.data.engine} />}
      {inventory.data?.engine.state === 'connected' && row === null && (
        <p class="note gone">
          No container of this app is there now. The charts show what it did while it was.
        </p>
      )}
      <div class="grid">
        {panels.map((spec) => (
          <Panel key={`${spec.id} ${container ?? ''} ${each}`} spec={spec} />
        ))}
        {row && <ContainersTable row={row} />}
        <section class="panel sheet span-12" aria-label="Events" data-events={events.value.length}>
          <h2>Events in this range</h2>
          <EventsTable events={events.value} apps={false} />
        </section>
        {row && isLocal.value && (
          <Processes
            key={container ?? ''}
            title="Top processes"
            scope={container === null ? [['app', name]] : [['container', container]]}
          />
        )}
        {row && <Facts row={row} />}
      </div>
    </MarksContext.Provider>
  );
}

function chosen(events: ContainerEvent[], container: string | null): ContainerEvent[] {
  return container === null ? events : events.filter((event) => event.container === container);
}

interface TitleProps {
  name: string;
  row: AppRow | null;
  container: string | null;
  each: boolean;
}

function Title({ name, row, container, each }: TitleProps) {
  const { params } = route.value;
  const names = (row?.containers ?? []).map((c) => c.name);
  if (container !== null && !names.includes(container)) names.push(container);
  return (
    <div class="lead app-lead">
      <div class="app-title">
        <a href={pageHref('/apps', params)}>Apps</a>
        <span class="quiet" aria-hidden="true">
          /
        </span>
        <h2>{name}</h2>
        {row && <State state={row.state} level={row.level} />}
        {row?.project && (
          <a
            class="quiet"
            href={pageHref('/apps', params, [
              ['find', row.project],
              ['group', 'project'],
            ])}
          >
            {row.project}
          </a>
        )}
      </div>
      <div class="tools">
        <nav class="choice" aria-label="What the charts show">
          <a href={appHref(name)} aria-current={!each && container === null ? 'true' : undefined}>
            Sum
          </a>
          <a
            href={here((next) => {
              next.delete('container');
              next.set('each', '1');
            })}
            aria-current={each ? 'true' : undefined}
          >
            Each container
          </a>
          {names.length <= 4 &&
            names.map((one) => (
              <a
                key={one}
                href={appHref(name, one)}
                aria-current={container === one ? 'true' : undefined}
              >
                {shortName(one, name)}
              </a>
            ))}
        </nav>
        {isLocal.value && <Liveness />}
      </div>
    </div>
  );
}

/** A replica's own part of its name: "shop-web-2" of "shop-web" is "2", a swarm task its slot. */
export function shortName(container: string, app: string): string {
  const rest = container.startsWith(app) ? container.slice(app.length).replace(/^[-._]/, '') : '';
  return rest.replace(/\.[a-z0-9]{25}$/, '') || container;
}
