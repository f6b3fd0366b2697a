/** Status: what the server is, what it stores, and how it was started. */

import '../style/tables.css';
import { get } from '../api';
import { useLoaded } from '../load';
import { format } from '../units';

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
      {error && (
        <p class="note bad span-12" role="alert">
          {error.message}
        </p>
      )}
      {data && (
        <>
          <Pairs title="Server" pairs={{ ...data.build, ...data.runtime }} />
          <Storage tsdb={data.tsdb} />
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

function Storage({ tsdb }: { tsdb: Tsdb | null }) {
  const most = (tsdb?.seriesCountByMetricName ?? []).slice(0, 10);
  return (
    <section class="panel sheet span-6">
      <h2>Storage</h2>
      <table>
        <tbody>
          <tr>
            <th scope="row">Series in the head</th>
            <td>{format(tsdb?.headStats.numSeries, 'count')}</td>
          </tr>
          <tr>
            <th scope="row">Chunks in the head</th>
            <td>{format(tsdb?.headStats.chunkCount, 'count')}</td>
          </tr>
          {most.map(({ name, value }) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td>{value} series</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
