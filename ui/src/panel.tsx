/**
 * A panel: a title and a chart of some queries, in one of its states. Old data stays while new data
 * loads; an error stands inside the panel; no data is explained, with what to do about it.
 */

import { type Signal, useSignal } from '@preact/signals';
import type { RefObject } from 'preact';
import { useContext, useEffect, useMemo, useRef } from 'preact/hooks';
import { ApiError, get, isAbort, now, query, type Row } from './api';
import { Chart } from './chart/chart';
import type { Look, Window } from './chart/plot';
import { MarksContext } from './events';
import { type LivePage, type Task, usePage, useTask } from './live';
import { fill, gridFor, questionOf, RangeQuery, split } from './questions';
import { type Frame, type Line, labelKey, nameOf, type Role } from './series';
import { firstPointsIn, host, instance, keyOf, loadServer } from './server';
import { type Grid, moment, rangeEnds } from './time';
import { pageHref, range, route, server, setRange } from './url';

export interface QuerySpec {
  expr: string;
  /** Name of each series; `{{label}}` stands for a label's value. */
  name: string;
  role?: Role;
  /** The palette index, where what is drawn has a colour of its own. */
  tint?: number;
  /** Drawn below zero. */
  below?: boolean;
}

export interface PanelSpec {
  id: string;
  title: string;
  /** Columns of twelve. */
  span: 4 | 6 | 12;
  look: Look;
  /** Lines the legend has room for. */
  rows: number;
  queries: QuerySpec[];
  /** Names that come first, in this order; the others follow by the alphabet. */
  order?: string[];
  /** Drawn before everything else of the page. */
  first?: true;
  /** The metric whose absence explains an empty panel, and what to do when it is absent. */
  metric: string;
  absent: string;
}

interface PanelState {
  frame: Frame | null;
  window: Window;
  error: ApiError | null;
  loading: boolean;
  why: Why | null;
}

interface Why {
  text: string;
  /** Where the newest point lies, when it lies outside of the range. */
  newest?: number;
}

/** One order for a panel's names, so that a stack is built alike every time. */
function place(name: string, order: string[]): number {
  const at = order.indexOf(name);
  return at < 0 ? order.length : at;
}

function toLines(spec: QuerySpec, rows: Row[], order: string[]): Line[] {
  const sign = spec.below ? -1 : 1;
  return rows
    .map((row) => ({
      key: `${spec.name}|${labelKey(row.metric)}`,
      name: nameOf(spec.name, row.metric),
      metric: row.metric,
      values: sign < 0 ? row.values.map((v) => (v === null ? null : -v)) : row.values,
      role: spec.role ?? 'value',
      sign: sign as 1 | -1,
      tint: spec.tint,
    }))
    .sort((a, b) => place(a.name, order) - place(b.name, order) || a.name.localeCompare(b.name));
}

/** Asks a panel's queries as one. */
function panelTask(
  spec: PanelSpec,
  state: Signal<PanelState>,
  element: RefObject<HTMLElement | null>,
): Task {
  const asked = new RangeQuery();
  const load = async (grid: Grid, signal: AbortSignal): Promise<Line[]> => {
    const answer = await asked.load(questionOf(spec, grid), grid, signal);
    const parts = split(answer, spec.queries.length);
    return spec.queries.flatMap((part, i) => toLines(part, parts[i] ?? [], spec.order ?? []));
  };
  return {
    visible: false,
    rank: 1,
    ranged: true,
    first: spec.first === true,
    async run(signal) {
      const at = now();
      const ends = rangeEnds(range.peek(), at);
      const grid = gridFor(at, element.current?.clientWidth ?? 600);
      // The new range shows at once, with what is there, while its points are on their way.
      state.value = { ...state.peek(), window: ends, loading: true };
      try {
        const lines = await load(grid, signal);
        const why = lines.some((l) => l.role !== 'limit')
          ? null
          : await explain(spec.metric, spec.absent, signal);
        state.value = { frame: { grid, lines }, window: ends, error: null, loading: false, why };
      } catch (error) {
        if (isAbort(error)) return;
        state.value = { ...state.peek(), error: asApiError(error), loading: false };
      }
    },
  };
}

export function asApiError(error: unknown): ApiError {
  return error instanceof ApiError
    ? error
    : new ApiError('page', `The page failed: ${String(error)}`);
}

/** Why a metric gives nothing: there is none of the name, its source is down, or nothing in this range. */
export async function explain(metric: string, absent: string, signal: AbortSignal): Promise<Why> {
  const params: [string, string][] = [
    ['match[]', metric],
    ['limit', '1'],
  ];
  // A server that has just started has nothing yet, and no other reason should be read first.
  const [known] = await Promise.all([
    get<unknown[]>('/api/v1/series', params, signal),
    loadServer(),
  ]);
  // A whole selector says nothing to a reader; what its absence means does.
  if (known.length === 0)
    return { text: metric.includes('{') ? absent : `No metric ${metric}. ${absent}` };
  const up = await query(fill('up{$host}', 15, instance.peek()), now(), signal);
  if (up.data.length > 0 && up.data.every((s) => s.value === 0)) {
    return {
      text: 'The source is down: its last scrape failed. Its error stands with the targets.',
    };
  }
  const newest = await query(`max(max_over_time(timestamp(${metric})[1d:5m]))`, now(), signal);
  const time = newest.data[0]?.value;
  if (time === undefined) {
    return { text: 'Nothing in this range, nor in the last day. Choose a longer one.' };
  }
  return { text: `Nothing in this range. The newest point is of ${moment(time)}.`, newest: time };
}

export function usePanel(
  spec: PanelSpec,
  element: RefObject<HTMLElement | null>,
): Signal<PanelState> {
  const state = useSignal<PanelState>({
    frame: null,
    window: rangeEnds(range.peek(), now()),
    error: null,
    loading: true,
    why: null,
  });
  const task = useMemo(() => panelTask(spec, state, element), [spec, state, element]);
  useTask(task, element);
  useRetry(usePage(), task, state);
  return state;
}

/** An error is tried again with the next refresh; this is for the reader who does not want to wait. */
function useRetry(page: LivePage, task: Task, state: Signal<PanelState>): void {
  useEffect(() => {
    const again = (): void => {
      if (state.peek().error) page.restart(task);
    };
    window.addEventListener('online', again);
    return () => window.removeEventListener('online', again);
  }, [page, task, state]);
}

export const CHART_HEIGHT = 190;

export function Panel({ spec }: { spec: PanelSpec }) {
  const element = useRef<HTMLElement>(null);
  const state = usePanel(spec, element);
  const marks = useContext(MarksContext).value;
  const { frame, window, error, loading, why } = state.value;
  const drawn = frame?.lines.some((l) => l.role !== 'limit') === true;
  return (
    <section
      class={`panel span-${spec.span}`}
      ref={element}
      aria-busy={loading}
      data-panel={spec.id}
    >
      <header>
        <h2>{spec.title}</h2>
        <a class="quiet" href={exploreHref(spec)} title="Open these queries in Explore">
          Explore
        </a>
      </header>
      {error && <ErrorNote error={error} kept={drawn} />}
      {drawn ? (
        <Chart
          {...spec.look}
          title={spec.title}
          frame={frame}
          window={window}
          height={CHART_HEIGHT}
          rows={spec.rows}
          marks={marks}
        />
      ) : (
        <div class="void" style={{ height: `${CHART_HEIGHT + (spec.rows + 1) * 20 + 4}px` }}>
          {!error && (why ? <NoData why={why} /> : <span class="loading">Loading</span>)}
        </div>
      )}
    </section>
  );
}

function exploreHref(spec: PanelSpec): string {
  const exprs = spec.queries.map((q): [string, string] => [
    'q',
    fill(q.expr, 15, host.value ? keyOf(host.value.metric) : server.value),
  ]);
  return pageHref('/explore', route.value.params, exprs);
}

export function ErrorNote({ error, kept }: { error: ApiError; kept: boolean }) {
  return (
    <p class="note bad" role="alert">
      {error.message}
      {kept && ' Shown is what came before.'}
    </p>
  );
}

function NoData({ why }: { why: Why }) {
  const wait = firstPointsIn(now());
  if (wait > 0) return <p>First points in {wait} s.</p>;
  return (
    <p>
      {why.text}{' '}
      {why.newest !== undefined && (
        <button type="button" class="link" onClick={() => toNewest(why.newest ?? 0)}>
          Go there
        </button>
      )}
    </p>
  );
}

function toNewest(time: number): void {
  setRange({ kind: 'fixed', from: time - 3300, to: time + 300 });
}
