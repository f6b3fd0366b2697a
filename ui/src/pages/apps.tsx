/** Apps: what runs, what it uses, what is wrong with it. Sort, filter and grouping are in the URL. */

import '../style/apps.css';
import { useMemo } from 'preact/hooks';
import { EngineNote, NoContainers } from '../apps/cells';
import {
  type AppRow,
  arrange,
  readView,
  SHOWS,
  type Show,
  type View,
  writeView,
} from '../apps/rows';
import { AppsTable } from '../apps/table';
import { type AppsData, useApps } from '../apps/use_apps';
import { reading, useReadings } from '../readings';
import { isLocal } from '../server';
import { route, setParams } from '../url';

function setView(view: View, how: 'push' | 'replace'): void {
  setParams(writeView(route.peek().params, view), how);
}

export function Apps() {
  useReadings(isLocal.value);
  const data = useApps();
  const { rows, figures, engine, error } = data;
  const view = readView(route.value.params);
  const key = JSON.stringify(view);
  const shown = useMemo(() => (rows ? arrange(rows, figures, view) : []), [rows, figures, key]);
  return (
    <>
      <Tools view={view} rows={rows ?? []} />
      {error && (
        <p class="note bad" role="alert">
          {error.message}
        </p>
      )}
      <EngineNote engine={engine} />
      {rows === null && !error && <p class="quiet">Loading</p>}
      {rows?.length === 0 && engine.state === 'connected' && <NoContainers />}
      {rows && rows.length > 0 && <Listed data={data} shown={shown} view={view} />}
    </>
  );
}

function Listed({ data, shown, view }: { data: AppsData; shown: AppRow[]; view: View }) {
  return (
    <section class="panel sheet-apps" aria-label="Apps">
      <AppsTable
        rows={shown}
        figures={data.figures}
        lines={data.lines.value}
        view={view}
        onSort={(sort, down) => setView({ ...view, sort, down }, 'push')}
        onShown={data.onShown}
      />
      {shown.length === 0 && (
        <p class="void empty">
          No app fits.{' '}
          <button
            type="button"
            class="link"
            onClick={() => setView({ ...view, find: '', show: 'all' }, 'push')}
          >
            Show all
          </button>
        </p>
      )}
    </section>
  );
}

const SHOW_WORDS: Record<Show, string> = {
  all: 'All',
  trouble: 'In trouble',
  running: 'Running',
  stopped: 'Stopped',
};

function Tools({ view, rows }: { view: View; rows: AppRow[] }) {
  const count = (show: Show): number =>
    arrange(rows, new Map(), { ...view, show, find: '', sort: 'name' }).length;
  return (
    <div class="tools">
      <input
        class="control find"
        type="search"
        aria-label="Filter apps"
        placeholder="Filter by name, project, image"
        autocomplete="off"
        spellcheck={false}
        value={view.find}
        onInput={(event) => setView({ ...view, find: event.currentTarget.value }, 'replace')}
      />
      <fieldset class="choice" aria-label="Show">
        {SHOWS.map((show) => (
          <button
            key={show}
            type="button"
            aria-pressed={view.show === show}
            onClick={() => setView({ ...view, show }, 'push')}
          >
            {SHOW_WORDS[show]} <span class="count">{count(show)}</span>
          </button>
        ))}
      </fieldset>
      <label class="control check">
        <input
          type="checkbox"
          checked={view.grouped}
          onChange={(event) => setView({ ...view, grouped: event.currentTarget.checked }, 'push')}
        />
        By project
      </label>
      <Liveness />
    </div>
  );
}

/** Says whether the numbers are of this second or of the last refresh. */
export function Liveness() {
  const on = reading.value !== null;
  return (
    <span class={`live ${on ? 'on' : ''}`} data-live={on ? 'on' : 'off'}>
      <i class="live-dot" aria-hidden="true" />
      {on ? 'live, every second' : 'as of the last refresh'}
    </span>
  );
}
