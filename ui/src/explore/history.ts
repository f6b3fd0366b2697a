/** Queries that were run, newest first, in this browser only; and some to begin with. */

import { signal } from '@preact/signals';

const KEY = 'masthead.queries';
const MOST = 50;

function stored(): string[] {
  try {
    const value: unknown = JSON.parse(localStorage.getItem(KEY) ?? '[]');
    return Array.isArray(value) ? value.filter((v) => typeof v === 'string').slice(0, MOST) : [];
  } catch {
    return [];
  }
}

export const past = signal<string[]>(stored());

export function remember(list: string[], expr: string): string[] {
  const text = expr.trim();
  return text === '' ? list : [text, ...list.filter((other) => other !== text)].slice(0, MOST);
}

export function addToHistory(exprs: string[]): void {
  past.value = exprs.reduceRight(remember, past.value);
  try {
    localStorage.setItem(KEY, JSON.stringify(past.value));
  } catch {
    // Without storage the list lasts as long as the page.
  }
}

export const EXAMPLES: { expr: string; about: string }[] = [
  { expr: 'up', about: 'Which targets answer: 1 is up, 0 is down' },
  {
    expr: 'sum by (mode) (rate(node_cpu_seconds_total[5m]))',
    about: 'CPU seconds per second, by mode',
  },
  {
    expr: '100 * (1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes)',
    about: 'Memory in use, in percent',
  },
  {
    expr: 'topk(5, rate(node_disk_written_bytes_total[5m]))',
    about: 'The disks that are written most',
  },
  {
    expr: 'predict_linear(node_filesystem_avail_bytes[6h], 7 * 86400) < 0',
    about: 'File systems that are full within a week at this rate',
  },
  {
    expr: 'count by (__name__) ({job="node-exporter"})',
    about: 'How many series each host metric has',
  },
];
