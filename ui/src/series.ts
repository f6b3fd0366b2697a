/**
 * Series on a grid: joining a refresh to what is already there, stacking, and the figures of a legend.
 *
 * All functions are pure. A frame never grows: what falls out of the range is dropped with every merge,
 * which is why the page's memory stays flat however long it is open.
 */

import type { Labels, Row } from './api';
import { type Grid, gridLength } from './time';

export type Role = 'value' | 'rest' | 'limit';

/** One line of a chart. */
export interface Line {
  /** Tells two lines of one chart apart; stable over refreshes. */
  key: string;
  name: string;
  metric: Labels;
  values: (number | null)[];
  /** A limit is a dashed line, never stacked; a rest is what is left over (free memory), drawn faintly. */
  role: Role;
  /** -1 for a line that is drawn below zero; its values are negative and are shown without their sign. */
  sign: 1 | -1;
  /** The palette index, where the thing that is drawn has a colour of its own. */
  tint?: number | undefined;
}

export interface Frame {
  grid: Grid;
  lines: Line[];
}

export interface Figures {
  last: number | null;
  min: number | null;
  mean: number | null;
  max: number | null;
}

export function labelKey(metric: Labels): string {
  const names = Object.keys(metric).sort();
  return names.map((name) => `${name}=${metric[name]}`).join('\n');
}

/** The name of a series from a template such as "{{device}} read". */
export function nameOf(template: string, metric: Labels): string {
  return template.replace(/\{\{(\w+)\}\}/g, (_, label: string) => metric[label] ?? '');
}

/** A series as PromQL writes it: `up{instance="a", job="b"}`. */
export function selectorOf(metric: Labels): string {
  const { __name__: name = '', ...rest } = metric;
  const pairs = Object.keys(rest)
    .sort()
    .map((label) => `${label}=${JSON.stringify(rest[label])}`);
  return pairs.length > 0 || name === '' ? `${name}{${pairs.join(', ')}}` : name;
}

/** Whether points of `old` can be kept when `next` is wanted, so that only the rest is asked for. */
export function continues(old: Grid, next: Grid): boolean {
  return (
    old.step === next.step &&
    next.start >= old.start &&
    next.start <= old.end &&
    next.end >= old.end
  );
}

/** The rows of `old` and, from `freshGrid.start` on, those of `fresh`, both put onto `grid`. */
export function merge(old: Row[], oldGrid: Grid, fresh: Row[], freshGrid: Grid, grid: Grid): Row[] {
  const length = gridLength(grid);
  const rows = new Map<string, Row>();
  const place = (row: Row, from: Grid, start: number, end: number): void => {
    const key = labelKey(row.metric);
    let into = rows.get(key);
    if (!into) {
      into = { metric: row.metric, values: new Array(length).fill(null) };
      rows.set(key, into);
    }
    for (let time = start; time <= end; time += grid.step) {
      const to = Math.round((time - grid.start) / grid.step);
      into.values[to] = row.values[Math.round((time - from.start) / from.step)] ?? null;
    }
  };
  for (const row of old)
    place(row, oldGrid, grid.start, Math.min(oldGrid.end, freshGrid.start - grid.step));
  for (const row of fresh) place(row, freshGrid, freshGrid.start, freshGrid.end);
  return [...rows.values()].filter((row) => row.values.some((v) => v !== null));
}

export function figures(values: (number | null)[]): Figures {
  const out: Figures = { last: null, min: null, mean: null, max: null };
  let sum = 0;
  let count = 0;
  for (const value of values) {
    if (value === null) continue;
    out.last = value;
    out.min = out.min === null ? value : Math.min(out.min, value);
    out.max = out.max === null ? value : Math.max(out.max, value);
    sum += value;
    count += 1;
  }
  if (count > 0) out.mean = sum / count;
  return out;
}

/** The largest lines by the size of their mean, in their old order, and how many were left out. */
export function largest(lines: Line[], count: number): { kept: Line[]; left: number } {
  const values = lines.filter((line) => line.role !== 'limit');
  if (values.length <= count) return { kept: lines, left: 0 };
  const size = (line: Line): number => Math.abs(figures(line.values).mean ?? 0);
  const ranked = [...values].sort((a, b) => size(b) - size(a)).slice(0, count);
  const keep = new Set(ranked.map((line) => line.key));
  return {
    kept: lines.filter((line) => line.role === 'limit' || keep.has(line.key)),
    left: values.length - count,
  };
}

/** Sums from the first line up. A hole in one line counts as nothing; a hole in all of them stays one. */
export function stack(lines: Line[]): (number | null)[][] {
  const length = lines[0]?.values.length ?? 0;
  const base = new Array<number>(length).fill(0);
  const present = base.map((_, at) => lines.some((line) => line.values[at] !== null));
  return lines.map((line) =>
    base.map((below, at) => {
      const sum = below + (line.values[at] ?? 0);
      base[at] = sum;
      return present[at] ? sum : null;
    }),
  );
}

export function times(grid: Grid): number[] {
  return Array.from({ length: gridLength(grid) }, (_, at) => grid.start + at * grid.step);
}
