/**
 * What is asked of the server: how a query's open places are filled in, how many queries become one, and how a
 * refresh asks only for what is new. Knows nothing of what is drawn, because the first question goes out before
 * the script that draws is there.
 */

import { type Answer, type Labels, now, queryRange, type Row } from './api';
import type { PanelSpec } from './panel';
import { continues, merge } from './series';
import { instance, interval, ofKey } from './server';
import { chooseStep, type Grid, gridOf, rangeEnds, rateWindow } from './time';
import { range } from './url';

/**
 * Fills in what a query leaves open: `$host` (the matchers of the host of this key), `$containers` (those of
 * its containers, which have another port in `instance`) and `$rate` (the window of rate).
 */
export function fill(expr: string, step: number, server: string): string {
  const [instance, name] = ofKey(server);
  // Without a key this machine is meant, and not the registered servers beside it.
  const one = server === '' ? '' : `instance=${JSON.stringify(instance)},`;
  const host = `job="node-exporter",${one}server=${JSON.stringify(name)}`;
  return expr
    .replaceAll('$host', host)
    .replaceAll('$containers', containersOf(server))
    .replaceAll('$rate', `${rateWindow(step, interval.peek())}s`);
}

function containersOf(server: string): string {
  const all = 'job="cadvisor",name!=""';
  if (server === '') return `${all},server=""`;
  const [instance, registered] = ofKey(server);
  const name = instance.replace(/:\d+$/, '').replace(/[.+*?()[\]{}|\\^$]/g, '\\$&');
  return `${all},instance=~${JSON.stringify(`${name}(:[0-9]+)?`)},server=${JSON.stringify(registered)}`;
}

/** The label that tells the parts of a joined query apart. */
const PART = 'masthead_part';

/**
 * One query for several, each series marked with the place of its own: a page that asks forty small
 * questions waits for forty answers, six at a time.
 */
export function join(exprs: string[]): string {
  if (exprs.length === 1) return exprs[0] ?? '';
  return exprs.map((expr, i) => `label_replace(${expr}, "${PART}", "${i}", "", "")`).join(' or ');
}

/** The answer of a joined query, taken apart again. */
export function split<T extends { metric: Labels }>(answer: T[], count: number): T[][] {
  if (count === 1) return [answer];
  const parts: T[][] = Array.from({ length: count }, () => []);
  for (const one of answer) {
    const { [PART]: place, ...metric } = one.metric;
    parts[Number(place)]?.push({ ...one, metric });
  }
  return parts;
}

/** Answers that were asked for before there was a page, by their question. */
const early = new Map<string, Promise<Answer<Row[]>>>();

function question(expr: string, grid: Grid): string {
  return `${grid.start} ${grid.end} ${grid.step} ${expr}`;
}

/**
 * Asks what the first chart will ask, so that the server answers while the browser still builds the page. When the
 * guess at the question was wrong, the chart asks for itself and this answer is dropped.
 */
export async function askEarly(expr: string, grid: Grid): Promise<void> {
  const asked = queryRange(expr, grid, new AbortController().signal);
  early.set(question(expr, grid), asked);
  // Who takes the answer hears of the failure.
  await asked.catch(() => undefined);
}

function askOnce(expr: string, grid: Grid, signal: AbortSignal): Promise<Answer<Row[]>> {
  const asked = early.get(question(expr, grid));
  early.clear();
  return asked ?? queryRange(expr, grid, signal);
}

/** A range query that remembers its last answer and asks only for what is new. */
export class RangeQuery {
  private kept: { expr: string; grid: Grid; rows: Row[] } | null = null;

  async load(expr: string, grid: Grid, signal: AbortSignal): Promise<Row[]> {
    const kept = this.kept;
    let rows: Row[];
    if (kept && kept.expr === expr && continues(kept.grid, grid)) {
      // The newest points may have been computed before a late scrape arrived, so they are asked again.
      const start = Math.max(grid.start, kept.grid.end - 2 * grid.step);
      const part = { ...grid, start };
      const fresh = await queryRange(expr, part, signal);
      rows = merge(kept.rows, kept.grid, fresh.data, part, grid);
    } else {
      rows = (await askOnce(expr, grid, signal)).data;
    }
    this.kept = { expr, grid, rows };
    return rows;
  }
}

/** A panel's queries as one. */
export function questionOf(spec: PanelSpec, grid: Grid): string {
  return join(spec.queries.map((part) => fill(part.expr, grid.step, instance.peek())));
}

/** Points for a chart of this width, up to the moment `at`. */
export function gridFor(at: number, width_px: number): Grid {
  const ends = rangeEnds(range.peek(), at);
  return gridOf(range.peek(), at, chooseStep(ends.to - ends.from, width_px, interval.peek()));
}

/** Asks what the panel will ask once it is drawn `width_px` wide. */
export function askAhead(spec: PanelSpec, width_px: number): Promise<void> {
  const grid = gridFor(now(), width_px);
  return askEarly(questionOf(spec, grid), grid);
}
