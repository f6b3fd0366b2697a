/** The host's cards: a value, what limits it, and how it came to be. */

import { useSignal } from '@preact/signals';
import { useMemo, useRef } from 'preact/hooks';
import { type ApiError, isAbort, now, query, type Sample } from '../api';
import { Sparkline } from '../chart/sparkline';
import { type Task, useTask } from '../live';
import { asApiError } from '../panel';
import { fill, join, RangeQuery, split } from '../questions';
import { type HostReading, reading } from '../readings';
import { instance, interval, isLocal } from '../server';
import { chooseStep, gridOf, rangeEnds, spell } from '../time';
import { format, formatOf } from '../units';
import { range } from '../url';
import { REAL_FS, REAL_NET } from './overview_panels';

export interface CardSpec {
  id: string;
  title: string;
  /** The line: its largest series is drawn. */
  line: string;
  /** Top of the line; without it the line fills its box. */
  max?: number;
  /** The queries of the words, each reduced to its first sample. */
  figures: Record<string, string>;
  value: (figures: Figures) => string;
  detail: (figures: Figures) => string;
  /** Whether a full bar is a fault: a busy CPU does its work, a full disk does not. */
  tight?: boolean;
  /** The same figures of this second, laid over those of the last refresh. */
  live?: (host: HostReading) => Record<string, number | null>;
  /** 0 to 1 of the limit, drawn as a bar. */
  share?: (figures: Figures) => number | null;
}

type Figures = Record<string, Sample | undefined>;

const of = (figures: Figures, name: string): number | null => figures[name]?.value ?? null;

const FS = `{$host,${REAL_FS}}`;
const NET = `{$host,${REAL_NET}}`;
const USED = `(1 - node_filesystem_avail_bytes${FS} / node_filesystem_size_bytes${FS})`;
const TRAFFIC = (way: string): string =>
  `8 * sum(rate(node_network_${way}_bytes_total${NET}[$rate]))`;

export const CARDS: CardSpec[] = [
  {
    id: 'cpu',
    title: 'CPU',
    line: '100 * (1 - avg(rate(node_cpu_seconds_total{$host,mode="idle"}[$rate])))',
    max: 100,
    figures: {
      used: '100 * (1 - avg(rate(node_cpu_seconds_total{$host,mode="idle"}[1m])))',
      cores: 'count(count by (cpu) (node_cpu_seconds_total{$host}))',
      load: 'node_load1{$host}',
    },
    value: (f) => format(of(f, 'used'), 'percent'),
    detail: (f) => {
      const cores = of(f, 'cores');
      if (cores === null) return '';
      return `of ${cores} core${cores === 1 ? '' : 's'}, load ${format(of(f, 'load'), 'count')}`;
    },
    live: (h) => ({ used: h.cpuRatio === null ? null : h.cpuRatio * 100, load: h.load1 }),
    share: (f) => share(of(f, 'used'), 100),
  },
  {
    id: 'memory',
    title: 'Memory',
    tight: true,
    line: '100 * (1 - node_memory_MemAvailable_bytes{$host} / node_memory_MemTotal_bytes{$host})',
    max: 100,
    figures: {
      used: 'node_memory_MemTotal_bytes{$host} - node_memory_MemAvailable_bytes{$host}',
      total: 'node_memory_MemTotal_bytes{$host}',
      swap: 'node_memory_SwapTotal_bytes{$host} - node_memory_SwapFree_bytes{$host}',
    },
    value: (f) => {
      const used = of(f, 'used');
      const total = of(f, 'total');
      return used === null || total === null ? '–' : formatOf(used, total, 'bytes');
    },
    detail: (f) => {
      const swap = of(f, 'swap');
      return swap ? `and ${format(swap, 'bytes')} swapped out` : 'no swap in use';
    },
    live: (h) => ({ used: h.memoryUsedBytes, total: h.memoryTotalBytes, swap: h.swapUsedBytes }),
    share: (f) => share(of(f, 'used'), of(f, 'total')),
  },
  {
    id: 'disk',
    title: 'Disk',
    tight: true,
    line: `100 * topk(1, ${USED})`,
    max: 100,
    figures: {
      used: `topk(1, ${USED}) * on (mountpoint, device) node_filesystem_size_bytes${FS}`,
      size: `node_filesystem_size_bytes${FS} and on (mountpoint, device) topk(1, ${USED})`,
      full:
        `node_filesystem_avail_bytes${FS} / -deriv(node_filesystem_avail_bytes${FS}[6h])` +
        ` and on (mountpoint, device) topk(1, ${USED}) and node_filesystem_avail_bytes${FS} offset 1h`,
    },
    value: (f) => {
      const used = of(f, 'used');
      const size = of(f, 'size');
      return used === null || size === null ? '–' : formatOf(used, size, 'bytes');
    },
    detail: (f) => {
      const where = f.used?.metric.mountpoint ?? '';
      return where === '' ? '' : `on ${where}, ${untilFull(of(f, 'full'))}`;
    },
    share: (f) => share(of(f, 'used'), of(f, 'size')),
  },
  {
    id: 'network',
    title: 'Network',
    line: `${TRAFFIC('receive')} + ${TRAFFIC('transmit')}`,
    figures: {
      in: TRAFFIC('receive').replace('$rate', '1m'),
      out: TRAFFIC('transmit').replace('$rate', '1m'),
      speed: `max(node_network_speed_bytes${NET}) * 8`,
    },
    value: (f) => {
      const sum = (of(f, 'in') ?? Number.NaN) + (of(f, 'out') ?? Number.NaN);
      return format(sum, 'bits/s');
    },
    detail: (f) => `in ${format(of(f, 'in'), 'bits/s')}, out ${format(of(f, 'out'), 'bits/s')}`,
    live: (h) => ({ in: bits(h.receiveBytesPerSecond), out: bits(h.transmitBytesPerSecond) }),
  },
];

const bits = (bytes: number | null): number | null => (bytes === null ? null : bytes * 8);

/** The present, where it is known and the range ends now; a range of the past shows the past. */
export function present(
  spec: Pick<CardSpec, 'live'>,
  figures: Figures,
  host: HostReading | null,
): Figures {
  if (!spec.live || !host) return figures;
  const out = { ...figures };
  for (const [name, value] of Object.entries(spec.live(host))) {
    if (value !== null) out[name] = { metric: {}, time: 0, ...figures[name], value };
  }
  return out;
}

/** "full in 9 days at this rate"; a trend of years is no news. */
export function untilFull(seconds: number | null): string {
  if (seconds === null) return 'trend needs an hour';
  if (!Number.isFinite(seconds) || seconds < 0 || seconds > 2 * 365 * 86_400)
    return 'not filling up';
  return `full in ${spell(seconds)} at this rate`;
}

function strain(filled: number): string {
  if (filled > 0.9) return 'bad';
  return filled > 0.8 ? 'warn' : '';
}

function share(value: number | null, whole: number | null): number | null {
  return value === null || !whole ? null : Math.min(1, Math.max(0, value / whole));
}

interface CardState {
  figures: Figures;
  values: (number | null)[];
  error: ApiError | null;
}

function cardTask(spec: CardSpec, set: (next: Partial<CardState>) => void): Task {
  const line = new RangeQuery();
  return {
    visible: false,
    rank: 2,
    ranged: true,
    async run(signal) {
      const at = now();
      const ends = rangeEnds(range.peek(), at);
      const grid = gridOf(range.peek(), at, chooseStep(ends.to - ends.from, 160, interval.peek()));
      const server = instance.peek();
      const names = Object.keys(spec.figures);
      try {
        const [rows, answer] = await Promise.all([
          line.load(fill(spec.line, grid.step, server), grid, signal),
          query(
            fill(join(Object.values(spec.figures)), grid.step, server),
            Math.min(at, ends.to),
            signal,
          ),
        ]);
        const parts = split(answer.data, names.length);
        const figures = Object.fromEntries(names.map((name, i) => [name, parts[i]?.[0]]));
        set({ figures, values: rows[0]?.values ?? [], error: null });
      } catch (error) {
        if (!isAbort(error)) set({ error: asApiError(error) });
      }
    },
  };
}

export function Card({ spec }: { spec: CardSpec }) {
  const element = useRef<HTMLElement>(null);
  const state = useSignal<CardState>({ figures: {}, values: [], error: null });
  const task = useMemo(
    () =>
      cardTask(spec, (next) => {
        state.value = { ...state.peek(), ...next };
      }),
    [spec, state],
  );
  useTask(task, element);
  const { values, error } = state.value;
  const now = isLocal.value && range.value.kind === 'last' ? (reading.value?.host ?? null) : null;
  const figures = present(spec, state.value.figures, now);
  const filled = spec.share?.(figures) ?? null;
  return (
    <section class="card span-3" ref={element} data-card={spec.id}>
      <h2>{spec.title}</h2>
      <p class="value">{spec.value(figures)}</p>
      <p class="detail" title={error?.message}>
        {error ? error.message : spec.detail(figures)}
      </p>
      <Sparkline values={values} max={spec.max} />
      {filled !== null && (
        <div class={`bar ${spec.tight ? strain(filled) : ''}`} aria-hidden="true">
          <i style={{ width: `${filled * 100}%` }} />
        </div>
      )}
    </section>
  );
}
