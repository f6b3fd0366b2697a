/** Overview: is anything wrong, then the host at a glance, then its charts. */

import { type Signal, useComputed } from '@preact/signals';
import { type ContainerEvent, isWeighty, MarksContext, toMark, useEvents } from '../events';
import { Unloaded, useLater } from '../later';
import { usePage } from '../live';
import { Panel } from '../panel';
import { useReadings } from '../readings';
import { isLocal } from '../server';
import { expectedRows } from '../servers';
import { PANELS } from './overview_panels';

const loadLead = () => import('./overview_lead');
const loadApps = () => import('./overview_apps');

/** The cards that the row will have; their height is theirs before they are there. */
const CARDS = 4;

/**
 * Until the first chart is drawn it stands alone, and what surrounds it only keeps its place: a browser that has never
 * been here takes longer over a screen full of words, fonts and lines than it may take over the chart.
 */
export function Overview() {
  const opened = usePage().opened.value;
  useReadings(opened && isLocal.value);
  const events = useEvents(null);
  const weighty = useComputed(() => events.value.filter(isWeighty));
  const marks = useComputed(() => weighty.value.slice(-MOST_MARKS).map(toMark));
  const loaded = useLater(loadLead);
  const top = opened && loaded !== 'failed' ? loaded : null;
  const rows = expectedRows.value;
  return (
    <MarksContext.Provider value={marks}>
      <div class="lead">
        {top && <top.Lead />}
        {loaded === 'failed' && <Unloaded />}
      </div>
      {(rows > 0 || top) && (
        <div class="servers-place" style={{ '--rows': rows }}>
          {top && <top.Servers />}
        </div>
      )}
      <div class={opened ? 'grid' : 'grid opening'}>
        {top ? <top.Cards /> : <Places />}
        {PANELS.filter((spec) => opened || spec.first).map((spec) => (
          <Panel key={spec.id} spec={spec} />
        ))}
        {opened && <Below events={weighty} />}
      </div>
    </MarksContext.Provider>
  );
}

/** More marks than this would be a wall; the list of Apps and of an app has all of them. */
const MOST_MARKS = 200;

/** Where the cards will be. */
function Places() {
  return (
    <>
      {Array.from({ length: CARDS }, (_, i) => (
        <div key={i} class="card span-3" />
      ))}
    </>
  );
}

/** What stands under the charts comes with a script of its own, once the charts are on their way. */
function Below({ events }: { events: Signal<ContainerEvent[]> }) {
  const parts = useLater(loadApps);
  // A page of an older version: the next navigation says so and asks for a reload.
  if (parts === null || parts === 'failed') return null;
  return (
    <>
      <parts.TopApps />
      <parts.Happened events={events.value} />
    </>
  );
}
