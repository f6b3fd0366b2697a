/** This machine and the registered servers side by side. Arrives after the first chart; nothing where there is one machine alone. */

import '../style/servers.css';
import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { get, isAbort, now, query, type Sample } from '../api';
import { here } from '../apps/cells';
import { type Task, useTask } from '../live';
import { fill, join, split } from '../questions';
import { host, hosts, hostsKnown, keyOf, loadHosts } from '../server';
import { type Registered, rememberRows, rowsOf, type ServerRow } from '../servers';
import { spell } from '../time';
import { format } from '../units';
import { REAL_FS } from './overview_panels';

const HOST = 'job="node-exporter"';
const BY = 'by (server, instance)';

/** One question for all hosts at once. */
const QUESTIONS = {
  cpu: `100 * (1 - avg ${BY} (rate(node_cpu_seconds_total{${HOST},mode="idle"}[$rate])))`,
  memory: `100 * (1 - node_memory_MemAvailable_bytes{${HOST}} / node_memory_MemTotal_bytes{${HOST}})`,
  memoryTotal: `node_memory_MemTotal_bytes{${HOST}}`,
  disk:
    `100 * max ${BY} (1 - node_filesystem_avail_bytes{${HOST},${REAL_FS}}` +
    ` / node_filesystem_size_bytes{${HOST},${REAL_FS}})`,
  load: `node_load1{${HOST}}`,
  cores: `count ${BY} (count by (server, instance, cpu) (node_cpu_seconds_total{${HOST}}))`,
};

/** Nodes of a registered server's swarm that are out of reach. */
const SILENT = `up{${HOST},server!="",node!=""} == 0`;

type Name = keyof typeof QUESTIONS;
const NAMES = Object.keys(QUESTIONS) as Name[];
type Figures = Partial<Record<Name, number>>;

async function figuresOf(signal: AbortSignal): Promise<Map<string, Figures>> {
  const expr = fill(join(Object.values(QUESTIONS)), 15, '');
  const parts = split((await query(expr, now(), signal)).data, NAMES.length);
  const all = new Map<string, Figures>();
  NAMES.forEach((name, i) => {
    for (const { metric, value } of parts[i] ?? []) {
      const key = keyOf(metric);
      all.set(key, { ...all.get(key), [name]: value });
    }
  });
  return all;
}

interface State {
  /** Null until it is known. */
  registered: Registered[] | null;
  figures: Map<string, Figures>;
  silent: Sample[];
}

export function Servers() {
  const element = useRef<HTMLElement>(null);
  const state = useSignal<State>({ registered: null, figures: new Map(), silent: [] });
  const task = useRef<Task>({
    visible: true,
    rank: 2,
    ranged: false,
    async run(signal) {
      try {
        const [{ servers: registered }] = await Promise.all([
          get<{ servers: Registered[] }>('/api/masthead/v1/servers', [], signal),
          hostsKnown.peek() ? null : loadHosts(signal),
        ]);
        const wanted = rowsOf(hosts.peek(), registered).length > 0;
        const [figures, silent] = await Promise.all([
          wanted ? figuresOf(signal) : new Map<string, Figures>(),
          registered.length > 0 ? query(SILENT, now(), signal).then(({ data }) => data) : [],
        ]);
        state.value = { registered, figures, silent };
      } catch (error) {
        // The health line says what failed; what was known stays.
        if (isAbort(error)) return;
      }
    },
  });
  useTask(task.current, element);
  const { registered, figures, silent } = state.value;
  const rows = registered === null ? [] : rowsOf(hosts.value, registered, silent);
  useEffect(() => {
    if (registered !== null) rememberRows(rows.length);
  }, [registered, rows.length]);
  return (
    <section class="servers" ref={element} aria-label="Servers">
      {rows.length > 0 && (
        <table>
          <thead>
            <tr>
              <th scope="col">Server</th>
              <th scope="col">CPU</th>
              <th scope="col">Memory</th>
              <th scope="col">Disk</th>
              <th scope="col" class="load">
                Load
              </th>
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <Row key={row.name + row.key} row={row} figures={figures.get(row.key) ?? {}} />
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

const WORDS = { up: 'up', connecting: 'connecting', down: 'out of reach' };

function Row({ row, figures: f }: { row: ServerRow; figures: Figures }) {
  const shown = row.key !== '' && host.value !== null && keyOf(host.value.metric) === row.key;
  return (
    <tr data-server={row.name} data-state={row.state} class={shown ? 'shown' : ''}>
      <th scope="row">
        <i class={`dot ${row.state}`} title={WORDS[row.state]} />
        {row.key === '' ? (
          <span>{row.name}</span>
        ) : (
          <a
            href={here((next) => next.set('server', row.key))}
            aria-current={shown ? 'true' : undefined}
          >
            {row.name}
          </a>
        )}
      </th>
      {row.state === 'up' && row.key === '' ? (
        <>
          <td colSpan={3} class="why">
            <span>
              in reach, and without figures of its host: no node_exporter is scraped there
            </span>
          </td>
          <td class="load" />
        </>
      ) : row.state === 'up' ? (
        <>
          <Share share={f.cpu} words={format(f.cpu ?? null, 'percent')} />
          <Share
            tight
            share={f.memory}
            words={format(f.memory ?? null, 'percent')}
            of={f.memoryTotal === undefined ? undefined : format(f.memoryTotal, 'bytes')}
          />
          <Share tight share={f.disk} words={format(f.disk ?? null, 'percent')} />
          <td class="load">
            {format(f.load ?? null, 'count')}
            {f.cores !== undefined && <span class="quiet"> of {f.cores}</span>}
          </td>
        </>
      ) : (
        <>
          <td colSpan={3} class="why" title={row.reason}>
            <span>
              <b>{WORDS[row.state]}</b>
              {row.since > 0 && ` for ${spell(Math.max(0, now() - row.since))}`}
              {row.reason !== '' && `: ${row.reason}`}
            </span>
          </td>
          <td class="load" />
        </>
      )}
    </tr>
  );
}

interface Measured {
  share: number | undefined;
  words: string;
  /** What the share is of, where there is room for it. */
  of?: string | undefined;
  tight?: boolean;
}

function Share({ share, words, of, tight }: Measured) {
  const filled = Math.min(100, Math.max(0, share ?? 0));
  const strain = !tight || filled <= 80 ? '' : filled > 90 ? 'bad' : 'warn';
  return (
    <td>
      <span class="words">
        {words}
        {of !== undefined && <span class="quiet wide"> of {of}</span>}
      </span>
      <span class={`meter ${strain}`} aria-hidden="true">
        <i style={{ width: `${filled}%` }} />
      </span>
    </td>
  );
}
