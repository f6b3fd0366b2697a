/**
 * The line of health: what is wrong now, where, and where to look. One row of the table is one check;
 * its query returns only what is wrong, so an empty answer to all of them means that all is well.
 */

import { useSignal } from '@preact/signals';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { type ApiError, isAbort, now, query, type Sample } from '../api';
import { Icon } from '../frame/icons';
import { type Task, useTask } from '../live';
import { asApiError } from '../panel';
import { fill, join, split } from '../questions';
import { firstPointsIn, instance, isYoung } from '../server';
import { spell } from '../time';
import { digits, format } from '../units';
import { pageHref, route } from '../url';
import { containerFindings } from './container_health';
import { REAL_FS } from './overview_panels';

export interface Finding {
  level: 'bad' | 'warn';
  text: string;
  /** Where the finding is shown. */
  href: string;
}

interface Check {
  level: 'bad' | 'warn';
  expr: string;
  show: string;
  say: (sample: Sample) => string;
}

const DISK = `{$host,${REAL_FS}}`;
const place = (s: Sample): string => s.metric.mountpoint ?? '?';
const target = ({ metric }: Sample): string =>
  metric.job === 'federate' && metric.server
    ? `Server ${metric.server}`
    : [metric.job ?? '?', metric.instance, metric.server && `of ${metric.server}`]
        .filter(Boolean)
        .join(' ');

export const CHECKS: Check[] = [
  {
    level: 'bad',
    // The value is the time since the last good scrape, up to a day back.
    expr: 'time() - max_over_time(timestamp(up == 1)[1d:1m]) and on (job, instance, server) up == 0 or up == 0',
    show: 'up == 0',
    say: (s) => `${target(s)} is down${s.value > 0 ? ` for ${spell(s.value)}` : ''}`,
  },
  {
    level: 'bad',
    expr: 'ALERTS{alertstate="firing"}',
    show: 'ALERTS{alertstate="firing"}',
    say: (s) =>
      `${s.metric.alertname ?? 'An alert'} is firing${s.metric.instance ? ` on ${s.metric.instance}` : ''}`,
  },
  {
    level: 'bad',
    expr: `node_filesystem_avail_bytes${DISK} / node_filesystem_size_bytes${DISK} < 0.1 and node_filesystem_readonly${DISK} == 0`,
    show: `node_filesystem_avail_bytes${DISK}`,
    say: (s) => `Disk ${place(s)} has ${digits(s.value * 100)} % left`,
  },
  {
    level: 'warn',
    // Only with an hour of history: less says nothing about the days to come.
    expr:
      `node_filesystem_avail_bytes${DISK} / -deriv(node_filesystem_avail_bytes${DISK}[6h]) > 0 < 5 * 86400` +
      ` and node_filesystem_avail_bytes${DISK} offset 1h and node_filesystem_readonly${DISK} == 0`,
    show: `node_filesystem_avail_bytes${DISK}`,
    say: (s) => `Disk ${place(s)} is full in ${spell(s.value)} at this rate`,
  },
  {
    level: 'bad',
    expr: 'node_memory_MemAvailable_bytes{$host} < 0.08 * node_memory_MemTotal_bytes{$host}',
    show: 'node_memory_MemAvailable_bytes{$host}',
    say: (s) => `Memory is short: ${format(s.value, 'bytes')} available`,
  },
  {
    level: 'bad',
    expr: 'increase(node_vmstat_oom_kill{$host}[1h]) > 0.5',
    show: 'node_vmstat_oom_kill{$host}',
    say: (s) => `${Math.round(s.value)} killed for lack of memory within the hour`,
  },
  ...(
    [
      ['cpu', 'the CPU', 0.6],
      ['memory', 'memory', 0.1],
      ['io', 'the disk', 0.4],
    ] as const
  ).map(
    ([name, words, limit]): Check => ({
      level: 'warn',
      expr: `rate(node_pressure_${name}_waiting_seconds_total{$host}[5m]) > ${limit}`,
      show: `rate(node_pressure_${name}_waiting_seconds_total{$host}[5m])`,
      say: (s) => `Tasks wait for ${words} ${digits(s.value * 100)} % of the time`,
    }),
  ),
];

/** Runs all checks as one query and says what they found, the worst first. */
export async function findings(signal: AbortSignal): Promise<Finding[]> {
  const joined = fill(join(CHECKS.map((check) => `(${check.expr})`)), 15, instance.peek());
  const answer = await query(joined, now(), signal);
  const parts = split(answer.data, CHECKS.length);
  const found = CHECKS.flatMap((check, i) => {
    const expr = fill(check.show, 15, instance.peek());
    const href = pageHref('/explore', route.peek().params, [['q', expr]]);
    return (parts[i] ?? []).map((s): Finding => ({ level: check.level, text: check.say(s), href }));
  });
  return found;
}

interface HealthState {
  found: Finding[] | null;
  error: ApiError | null;
}

export function Health() {
  const element = useRef<HTMLElement>(null);
  const state = useSignal<HealthState>({ found: null, error: null });
  const task = useMemo<Task>(
    () => ({
      visible: true,
      rank: 0,
      ranged: false,
      async run(signal) {
        try {
          const parts = await Promise.all([findings(signal), containerFindings(signal)]);
          const found = parts.flat().sort((a, b) => a.level.localeCompare(b.level));
          state.value = { found, error: null };
        } catch (error) {
          if (!isAbort(error))
            state.value = { found: state.peek().found, error: asApiError(error) };
        }
      },
    }),
    [state],
  );
  useTask(task, element);
  return (
    <section class="health" ref={element} aria-live="polite" aria-label="Health">
      <HealthLine {...state.value} />
    </section>
  );
}

/** What one line holds. It keeps its height, so that nothing below moves when the findings come; the others wait behind a button. */
const AT_ONCE = 3;

function HealthLine({ found, error }: HealthState) {
  const all = useSignal(false);
  if (error) return <p class="finding bad">{error.message}</p>;
  if (found === null) return <p class="finding">Checking</p>;
  if (found.length > 0) {
    const shown = all.value ? found : found.slice(0, AT_ONCE);
    return (
      <ul class={all.value ? 'all' : ''}>
        {shown.map((f) => (
          <li key={f.text}>
            <a class={`finding ${f.level}`} href={f.href} title={f.text}>
              <Icon name={f.level === 'bad' ? 'bad' : 'warn'} />
              <span class="finding-text">{f.text}</span>
            </a>
          </li>
        ))}
        {found.length > 1 && (
          <li class={found.length > AT_ONCE ? 'rest' : 'rest few'}>
            <button type="button" class="finding" onClick={() => (all.value = !all.value)}>
              {all.value ? 'Less' : `All ${found.length}`}
            </button>
          </li>
        )}
      </ul>
    );
  }
  if (isYoung()) return <Countdown />;
  return (
    <p class="finding ok">
      <Icon name="ok" />
      All well
    </p>
  );
}

/** Just started: says when the charts come. */
function Countdown() {
  const left = useSignal(firstPointsIn(now()));
  useEffect(() => {
    const timer = setInterval(() => {
      left.value = firstPointsIn(now());
    }, 500);
    return () => clearInterval(timer);
  }, [left]);
  return (
    <p class="finding ok">
      <Icon name="ok" />
      {left.value > 0
        ? `Just started. First points in ${left.value} s.`
        : 'Just started. All well so far.'}
    </p>
  );
}
