/**
 * What apps use: one joined query for all of them, a small line for those on the screen, and the
 * one-second readings laid over both.
 */

import { type Labels, now, query, type Row, type Sample } from '../api';
import { fill, join, RangeQuery, split } from '../questions';
import type { ContainerReading } from '../readings';
import { instance, interval } from '../server';
import { chooseStep, gridOf, rangeEnds } from '../time';
import { range } from '../url';

/** What an app uses, all its containers summed; null where nothing is known. */
export interface AppFigures {
  /** Cores. */
  cpu: number | null;
  memory: number | null;
  /** Null when any of its containers may take what it wants. */
  limit: number | null;
  receive: number | null;
  transmit: number | null;
  read: number | null;
  written: number | null;
}

export const EMPTY: AppFigures = {
  cpu: null,
  memory: null,
  limit: null,
  receive: null,
  transmit: null,
  read: null,
  written: null,
};

const rate = (metric: string): string => `sum by (app) (rate(${metric}{$containers}[$rate]))`;

const QUERIES: Record<keyof AppFigures, string> = {
  cpu: rate('container_cpu_usage_seconds_total'),
  memory: 'sum by (app) (container_memory_working_set_bytes{$containers})',
  limit:
    'sum by (app) (container_spec_memory_limit_bytes{$containers})' +
    ' unless on (app) (container_spec_memory_limit_bytes{$containers} == 0)',
  receive: rate('container_network_receive_bytes_total'),
  transmit: rate('container_network_transmit_bytes_total'),
  read: rate('container_fs_reads_bytes_total'),
  written: rate('container_fs_writes_bytes_total'),
};

const NAMES = Object.keys(QUERIES) as (keyof AppFigures)[];

/** The figures of all apps, in one question. */
export async function loadFigures(signal: AbortSignal): Promise<Map<string, AppFigures>> {
  const expr = fill(join(Object.values(QUERIES)), interval.peek(), instance.peek());
  const { data } = await query(expr, Math.min(now(), rangeEnds(range.peek(), now()).to), signal);
  return tableOf(split(data, NAMES.length));
}

export function tableOf(parts: Sample[][]): Map<string, AppFigures> {
  const table = new Map<string, AppFigures>();
  parts.forEach((samples, i) => {
    const name = NAMES[i];
    if (!name) return;
    for (const { metric, value } of samples) {
      const app = metric.app ?? '';
      const row = table.get(app) ?? { ...EMPTY };
      row[name] = Number.isFinite(value) ? value : null;
      table.set(app, row);
    }
  });
  return table;
}

/** Lines of all apps are asked for at once up to this many; of more, only those on the screen. */
const MOST_LINES = 150;

/** The matcher that keeps a question to some apps; empty for all of them. */
export function appMatcher(apps: string[]): string {
  const escaped = apps.map((app) => app.replace(/[.+*?()[\]{}|\\^$]/g, '\\$&'));
  return `,app=~${JSON.stringify(escaped.join('|'))}`;
}

/** The CPU of apps over the range, for the small lines. Remembers its last answer. */
export class Lines {
  private readonly asked = new RangeQuery();

  async load(
    shown: string[],
    count: number,
    signal: AbortSignal,
  ): Promise<Map<string, (number | null)[]>> {
    if (shown.length === 0) return new Map();
    const at = now();
    const ends = rangeEnds(range.peek(), at);
    const grid = gridOf(range.peek(), at, chooseStep(ends.to - ends.from, 80, interval.peek()));
    const some = count > MOST_LINES ? appMatcher([...shown].sort()) : '';
    const expr = fill(
      `sum by (app) (rate(container_cpu_usage_seconds_total{$containers${some}}[$rate]))`,
      grid.step,
      instance.peek(),
    );
    const rows: Row[] = await this.asked.load(expr, grid, signal);
    return new Map(rows.map((row) => [appOf(row.metric), row.values]));
  }
}

const appOf = (metric: Labels): string => metric.app ?? '';

const LIVE: [keyof AppFigures, keyof ContainerReading][] = [
  ['cpu', 'cpuCores'],
  ['memory', 'memoryWorkingSetBytes'],
  ['receive', 'receiveBytesPerSecond'],
  ['transmit', 'transmitBytesPerSecond'],
  ['read', 'readBytesPerSecond'],
  ['written', 'writtenBytesPerSecond'],
];

/** A reading, summed by app or by another key. What no container of a group has stays null. */
export function sumReading(
  containers: ContainerReading[],
  key: (container: ContainerReading) => string = (c) => c.app,
): Map<string, AppFigures> {
  const out = new Map<string, AppFigures>();
  const free = new Set<string>();
  for (const container of containers) {
    const name = key(container);
    const into = out.get(name) ?? { ...EMPTY };
    out.set(name, into);
    for (const [to, from] of LIVE) {
      const value = container[from] as number | null;
      if (value !== null) into[to] = (into[to] ?? 0) + value;
    }
    if (container.memoryLimitBytes === null) free.add(name);
    else into.limit = (into.limit ?? 0) + container.memoryLimitBytes;
  }
  for (const name of free) {
    const row = out.get(name);
    if (row) row.limit = null;
  }
  return out;
}

/** The newest that is known: the reading where it has a value, else the stored figure. */
export function newest(stored: AppFigures | undefined, live: AppFigures | undefined): AppFigures {
  if (!live) return stored ?? EMPTY;
  const pick = (name: keyof AppFigures): number | null => live[name] ?? stored?.[name] ?? null;
  return {
    cpu: pick('cpu'),
    memory: pick('memory'),
    // The limit belongs to the memory beside it, and its absence says something.
    limit: live.memory === null ? (stored?.limit ?? null) : live.limit,
    receive: pick('receive'),
    transmit: pick('transmit'),
    read: pick('read'),
    written: pick('written'),
  };
}
