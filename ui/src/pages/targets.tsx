/** Targets: which sources answer, since when, how fast, and what is wrong with the others. */

import '../style/tables.css';
import '../style/apps.css';
import { get, type Labels, now, query, type Target } from '../api';
import { useLoaded } from '../load';
import { selectorOf } from '../series';
import { clock, spell, zone } from '../time';
import { format } from '../units';
import { route, setParams } from '../url';

interface Row {
  target: Target;
  samples: number | null;
}

const STATES = ['all', 'up', 'down', 'unknown'] as const;
type Shown = (typeof STATES)[number];

async function load(signal: AbortSignal): Promise<Row[]> {
  const [{ activeTargets }, counts] = await Promise.all([
    get<{ activeTargets: Target[] }>('/api/v1/targets', [['state', 'active']], signal),
    query('scrape_samples_scraped', now(), signal),
  ]);
  const key = (labels: Labels): string => `${labels.job}\n${labels.instance}`;
  const samples = new Map(counts.data.map((s) => [key(s.metric), s.value]));
  const rows = activeTargets.map((target) => ({
    target,
    samples: samples.get(key(target.labels)) ?? null,
  }));
  // What is down comes first: that is what the reader came for.
  const rank = (row: Row): number => (row.target.health === 'down' ? 0 : 1);
  const name = (row: Row): string => key(row.target.labels);
  return rows.sort((a, b) => rank(a) - rank(b) || name(a).localeCompare(name(b)));
}

/** Whether a target is of the chosen state and holds all the words, in its labels, address or error. */
export function fitsTarget(target: Target, shown: Shown, find: string): boolean {
  if (shown !== 'all' && target.health !== shown) return false;
  const text = [
    ...Object.values(target.labels),
    target.scrapePool,
    target.scrapeUrl,
    target.lastError,
  ]
    .join(' ')
    .toLowerCase();
  return find
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}

export function Targets() {
  const { data, error } = useLoaded(load).value;
  const { params } = route.value;
  const shown = STATES.find((state) => state === params.get('state')) ?? 'all';
  const find = params.get('find') ?? '';
  const rows = (data ?? []).filter((row) => fitsTarget(row.target, shown, find));
  return (
    <>
      <Tools rows={data ?? []} shown={shown} find={find} />
      <section class="panel sheet targets" aria-label="Targets">
        {error && (
          <p class="note bad" role="alert">
            {error.message}
          </p>
        )}
        <table>
          <thead>
            <tr>
              <th scope="col">Target</th>
              <th scope="col">State</th>
              <th scope="col">Last scrape</th>
              <th scope="col">Took</th>
              <th scope="col">Samples</th>
              <th scope="col">Labels</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <TargetRow
                key={`${row.target.scrapePool} ${row.target.scrapeUrl} ${selectorOf(row.target.labels)}`}
                {...row}
              />
            ))}
          </tbody>
        </table>
        {data?.length === 0 && <p class="void">No targets. Add a scrape_config to masthead.yml.</p>}
        {data && data.length > 0 && rows.length === 0 && (
          <p class="void">No target fits the filter.</p>
        )}
      </section>
    </>
  );
}

function setFilter(name: string, value: string, how: 'push' | 'replace'): void {
  const next = new URLSearchParams(route.peek().params);
  if (value === '' || value === 'all') next.delete(name);
  else next.set(name, value);
  setParams(next, how);
}

function Tools({ rows, shown, find }: { rows: Row[]; shown: Shown; find: string }) {
  const count = (state: Shown): number =>
    rows.filter((row) => fitsTarget(row.target, state, '')).length;
  return (
    <div class="tools">
      <input
        class="control find"
        type="search"
        aria-label="Filter targets"
        placeholder="Filter by label, address, error"
        autocomplete="off"
        spellcheck={false}
        value={find}
        onInput={(event) => setFilter('find', event.currentTarget.value, 'replace')}
      />
      <fieldset class="choice" aria-label="State">
        {STATES.map((state) => (
          <button
            key={state}
            type="button"
            aria-pressed={shown === state}
            onClick={() => setFilter('state', state, 'push')}
          >
            {state[0]?.toUpperCase() + state.slice(1)} <span class="count">{count(state)}</span>
          </button>
        ))}
      </fieldset>
    </div>
  );
}

function TargetRow({ target, samples }: Row) {
  const scraped = Date.parse(target.lastScrape) / 1000;
  const known = Number.isFinite(scraped) && scraped > 0;
  return (
    <tr>
      <td>
        <b>{target.labels.job}</b> {target.labels.instance}
        <div class="quiet">{target.scrapeUrl}</div>
        {target.lastError && <div class="wrong">{target.lastError}</div>}
      </td>
      <td>
        <span class={`state ${target.health}`}>{target.health}</span>
      </td>
      <td title={known ? `${clock(scraped)} ${zone(scraped)}` : ''}>
        {known ? `${spell(now() - scraped)} ago` : 'not yet'}
      </td>
      <td>{format(target.lastScrapeDuration, 'seconds')}</td>
      <td>{samples === null ? '–' : samples}</td>
      <td>
        <Relabelled target={target} />
      </td>
    </tr>
  );
}

/** Labels side by side: what discovery found, and what relabelling made of it. */
function Relabelled({ target }: { target: Target }) {
  const { labels, discoveredLabels } = target;
  const names = [...new Set([...Object.keys(discoveredLabels), ...Object.keys(labels)])].sort();
  return (
    <details>
      <summary>{Object.keys(labels).length}</summary>
      <table class="labels">
        <thead>
          <tr>
            <th scope="col">Label</th>
            <th scope="col">Before relabelling</th>
            <th scope="col">After</th>
          </tr>
        </thead>
        <tbody>
          {names.map((name) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td class={labels[name] === discoveredLabels[name] ? '' : 'quiet'}>
                <code>{discoveredLabels[name] ?? '–'}</code>
              </td>
              <td>
                <code>{labels[name] ?? '–'}</code>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}
