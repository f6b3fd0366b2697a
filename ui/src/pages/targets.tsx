/** Targets: which sources answer, since when, how fast, and what is wrong with the others. */

import '../style/tables.css';
import { get, type Labels, now, query, type Target } from '../api';
import { useLoaded } from '../load';
import { selectorOf } from '../series';
import { clock, spell, zone } from '../time';
import { format } from '../units';

interface Row {
  target: Target;
  samples: number | null;
}

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

export function Targets() {
  const { data, error } = useLoaded(load).value;
  return (
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
          {data?.map((row) => (
            <TargetRow
              key={`${row.target.scrapePool} ${row.target.scrapeUrl} ${selectorOf(row.target.labels)}`}
              {...row}
            />
          ))}
        </tbody>
      </table>
      {data?.length === 0 && <p class="void">No targets. Add a scrape_config to masthead.yml.</p>}
    </section>
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
        <details>
          <summary>{Object.keys(target.labels).length}</summary>
          <p class="quiet">After relabelling</p>
          <code>{selectorOf(target.labels)}</code>
          <p class="quiet">Before</p>
          <code>{selectorOf(target.discoveredLabels)}</code>
        </details>
      </td>
    </tr>
  );
}
