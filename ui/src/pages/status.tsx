/** Status: what the server costs, what it stores, what it is, and how it was started. */

import '../style/tables.css';
import '../style/apps.css';
import { get } from '../api';
import { Processes } from '../apps/processes';
import { useLoaded } from '../load';
import { Panel } from '../panel';
import { moment } from '../time';
import { format } from '../units';
import { Card } from './cards';
import { OWN_CARDS, OWN_PANELS } from './own_cost';

type Plain = Record<string, string | number | boolean>;

interface Tsdb {
  headStats: { numSeries: number; chunkCount: number; minTime: number; maxTime: number };
  seriesCountByMetricName: { name: string; value: number }[];
}

interface Status {
  build: Plain;
  runtime: Plain;
  tsdb: Tsdb | null;
  flags: Record<string, string>;
  config: string;
}

async function load(signal: AbortSignal): Promise<Status> {
  const [build, runtime, tsdb, flags, config] = await Promise.all([
    get<Plain>('/api/v1/status/buildinfo', [], signal),
    get<Plain>('/api/v1/status/runtimeinfo', [], signal),
    get<Tsdb>('/api/v1/status/tsdb', [], signal),
    get<Record<string, string>>('/api/v1/status/flags', [], signal),
    get<{ yaml: string }>('/api/v1/status/config', [], signal),
  ]);
  return { build, runtime, tsdb, flags, config: config.yaml };
}

export function StatusPage() {
  const { data, error } = useLoaded(load).value;
  return (
    <div class="grid">
      {OWN_CARDS.map((spec) => (
        <Card key={spec.id} spec={spec} />
      ))}
      {OWN_PANELS.map((spec) => (
        <Panel key={spec.id} spec={spec} />
      ))}
      {error && (
        <p class="note bad span-12" role="alert">
          {error.message}
        </p>
      )}
      {data && (
        <>
          <Storage tsdb={data.tsdb} retention={String(data.runtime.storageRetention ?? '')} />
          <Pairs title="Server" pairs={{ ...data.build, ...data.runtime }} />
          <Processes title="Top processes of this machine" scope={[]} />
          <Pairs title="Flags" pairs={data.flags} />
          <section class="panel sheet span-6">
            <h2>Configuration</h2>
            {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
            <pre tabIndex={0}>{data.config || 'None: the defaults hold.'}</pre>
          </section>
        </>
      )}
    </div>
  );
}

function Pairs({ title, pairs }: { title: string; pairs: Plain }) {
  const entries = Object.entries(pairs).filter(([, value]) => value !== '');
  return (
    <section class="panel sheet span-6">
      <h2>{title}</h2>
      <table>
        <tbody>
          {entries.map(([name, value]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td>{String(value)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Storage({ tsdb, retention }: { tsdb: Tsdb | null; retention: string }) {
  const most = (tsdb?.seriesCountByMetricName ?? []).slice(0, 10);
  const head = tsdb?.headStats;
  return (
    <section class="panel sheet span-6">
      <h2>Storage</h2>
      <table>
        <tbody>
          <Fact name="Series in the head" value={format(head?.numSeries, 'count')} />
          <Fact name="Chunks in the head" value={format(head?.chunkCount, 'count')} />
          {head && head.minTime > 0 && (
            <Fact name="Head begins" value={moment(head.minTime / 1000)} />
          )}
          {retention && <Fact name="Kept for" value={retention} />}
          {most.map(({ name, value }) => (
            <Fact key={name} name={name} value={`${value} series`} />
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <tr>
      <th scope="row">{name}</th>
      <td>{value}</td>
    </tr>
  );
}
