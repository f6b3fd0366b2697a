/**
 * What is wrong with containers now, and what happened to them within the hour: for the line of
 * health. Each finding leads to the app it is about.
 */

import { isAbort, now, query, type Sample } from '../api';
import { appHref } from '../apps/cells';
import { crashes, groupApps } from '../apps/rows';
import { type Container, type Inventory, loadInventory } from '../containers';
import { type ContainerEvent, loadEvents } from '../events';
import { fill, join, split } from '../questions';
import { instance } from '../server';
import { spell } from '../time';
import { digits } from '../units';
import { pageHref, route } from '../url';
import type { Finding } from './health';

const HOUR = 3600;

/** Queries that return only what is wrong, by app. */
const CHECKS: { expr: string; say: (app: string, sample: Sample) => string }[] = [
  {
    expr:
      'sum by (app) (rate(container_cpu_cfs_throttled_periods_total{$containers}[5m]))' +
      ' / sum by (app) (rate(container_cpu_cfs_periods_total{$containers}[5m])) > 0.25',
    say: (app, s) => `${app} is throttled ${digits(s.value * 100)} % of the time by its CPU limit`,
  },
  {
    expr:
      'max by (app) (container_memory_working_set_bytes{$containers}' +
      ' / (container_spec_memory_limit_bytes{$containers} > 0)) > 0.9',
    say: (app, s) => `${app} uses ${digits(s.value * 100)} % of its memory limit`,
  },
];

/** Containers are one part of the line: without them the other checks still count. */
export async function containerFindings(signal: AbortSignal): Promise<Finding[]> {
  const end = now();
  const expr = fill(join(CHECKS.map((c) => `(${c.expr})`)), 15, instance.peek());
  const [inventory, events, used] = await Promise.all([
    quietly(loadInventory(signal)),
    quietly(loadEvents({ from: end - HOUR, to: end }, null, signal)),
    quietly(query(expr, end, signal)),
  ]);
  const happened = ofEvents(events ?? [], inventory?.containers ?? [], end);
  // What has just happened to an app says when; that its state still tells of it is no second finding.
  const told = new Set(happened.map((f) => f.href));
  return [
    ...(inventory ? ofInventory(inventory, end) : []).filter((f) => !told.has(f.href)),
    ...happened,
    ...split(used?.data ?? [], CHECKS.length).flatMap((samples, i) =>
      samples.map((sample) => {
        const app = sample.metric.app ?? '';
        return finding('warn', CHECKS[i]?.say(app, sample) ?? '', app);
      }),
    ),
  ];
}

async function quietly<T>(answer: Promise<T>): Promise<T | null> {
  try {
    return await answer;
  } catch (error) {
    if (isAbort(error)) throw error;
    return null;
  }
}

function finding(level: Finding['level'], text: string, app: string): Finding {
  return { level, text, href: appHref(app) };
}

export function ofInventory({ engine, containers }: Inventory, at: number): Finding[] {
  if (engine.state === 'away') {
    const why = engine.message ?? 'Masthead keeps trying.';
    const href = pageHref('/apps', route.peek().params);
    return [{ level: 'warn', text: `Docker does not answer: ${why}`, href }];
  }
  return groupApps(containers).flatMap((row) => {
    if (row.level !== 'bad') return [];
    if (row.state === 'restarting')
      return [finding('bad', `${row.app} keeps restarting (${row.restarts} times)`, row.app)];
    // What ended long ago is no news; the table of apps still shows it.
    const lately = row.containers.some((c) => at - (c.finishedAt ?? 0) < 24 * HOUR);
    if (row.running === 0 && !lately) return [];
    return [finding('bad', `${row.app} is ${row.state}`, row.app)];
  });
}

export function ofEvents(events: ContainerEvent[], containers: Container[], at: number): Finding[] {
  const killed = new Map<string, ContainerEvent[]>();
  for (const event of events) {
    if (event.event !== 'oom_kill') continue;
    killed.set(event.app, [...(killed.get(event.app) ?? []), event]);
  }
  const restarting = new Set(containers.filter((c) => c.state === 'restarting').map((c) => c.app));
  return [
    ...[...killed].map(([app, list]) => {
      const ago = `${spell(at - (list.at(-1)?.time ?? at))} ago`;
      const often = list.length > 1 ? `${list.length} times, last ${ago}` : ago;
      return finding('bad', `${app} was OOM killed ${often}`, app);
    }),
    ...crashes(events)
      .filter((app) => !restarting.has(app))
      .map((app) => finding('bad', `${app} crashes again and again`, app)),
  ];
}
