/** Explore: ask anything in PromQL. What is drawn is what the URL says; the editors hold drafts of it. */

import '../style/explore.css';
import { type Signal, useSignal } from '@preact/signals';
import type { RefObject } from 'preact';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { isAbort, now, query, queryRange } from '../api';
import { addToHistory } from '../explore/history';
import { metricsIn } from '../explore/names';
import { QueryRow, type QueryState } from '../explore/query_row';
import { Graph, type Shown, type Tab, Table } from '../explore/results';
import { Side } from '../explore/side';
import { Icon } from '../frame/icons';
import { type Task, usePage, useTask } from '../live';
import { asApiError, explain } from '../panel';
import { interval } from '../server';
import { chooseStep, gridOf, rangeEnds } from '../time';
import { range, route, setParams } from '../url';

interface Draft {
  id: number;
  text: string;
  /** Counts how often the text came from the URL and not from typing. */
  given: number;
}

interface Results {
  shown: Shown | null;
  tab: Tab;
  states: QueryState[];
  loading: boolean;
}

interface Part {
  rows: Shown['rows'][number];
  samples: Shown['samples'][number];
  state: QueryState;
}

function queriesOf(params: URLSearchParams): string[] {
  return params.getAll('q').filter((q) => q.trim() !== '');
}

function tabOf(params: URLSearchParams): Tab {
  return params.get('tab') === 'table' ? 'table' : 'graph';
}

/** Names the metric that is missing, when a query that gives nothing has one. */
async function whyEmpty(expr: string, signal: AbortSignal): Promise<string> {
  for (const metric of metricsIn(expr)) {
    const why = await explain(metric, 'Is it spelled as in the list of metrics?', signal);
    if (!why.text.startsWith('Nothing in this range')) return why.text;
  }
  return 'No series match: a condition or a label keeps all of them out in this range.';
}

async function runOne(expr: string, tab: Tab, shown: Shown, signal: AbortSignal): Promise<Part> {
  const part: Part = {
    rows: [],
    samples: [],
    state: { cost: null, error: null, warnings: [], why: '' },
  };
  try {
    const answer =
      tab === 'graph'
        ? await queryRange(expr, shown.grid, signal)
        : await query(expr, Math.min(shown.window.to, now()), signal);
    if (tab === 'graph') part.rows = answer.data as Part['rows'];
    else part.samples = answer.data as Part['samples'];
    part.state.cost = answer.cost;
    part.state.warnings = answer.warnings;
    if (answer.data.length === 0) part.state.why = await whyEmpty(expr, signal);
  } catch (error) {
    if (isAbort(error)) throw error;
    part.state.error = asApiError(error);
  }
  return part;
}

function exploreTask(results: Signal<Results>, element: RefObject<HTMLElement | null>): Task {
  return {
    visible: true,
    rank: 0,
    ranged: true,
    async run(signal) {
      const { params } = route.peek();
      const exprs = queriesOf(params);
      const tab = tabOf(params);
      const at = now();
      const window = rangeEnds(range.peek(), at);
      const step = chooseStep(
        window.to - window.from,
        element.current?.clientWidth ?? 900,
        interval.peek(),
      );
      const shown: Shown = {
        exprs,
        window,
        grid: gridOf(range.peek(), at, step),
        rows: [],
        samples: [],
      };
      results.value = { ...results.peek(), loading: exprs.length > 0 };
      try {
        const parts = await Promise.all(exprs.map((expr) => runOne(expr, tab, shown, signal)));
        shown.rows = parts.map((p) => p.rows);
        shown.samples = parts.map((p) => p.samples);
        results.value = { shown, tab, states: parts.map((p) => p.state), loading: false };
      } catch {
        // Only an abort comes here: another run has taken over.
      }
    },
  };
}

/** The drafts follow the URL when it changes by itself: back, forward, a link. */
function useDrafts(queries: string[]): Signal<Draft[]> {
  const next = useRef(0);
  const make = (text: string): Draft => {
    next.current += 1;
    return { id: next.current, text, given: 0 };
  };
  const drafts = useSignal<Draft[]>([]);
  const key = JSON.stringify(queries);
  const applied = useRef('');
  if (applied.current !== key || drafts.peek().length === 0) {
    applied.current = key;
    const texts = queries.length > 0 ? queries : [''];
    const old = drafts.peek();
    drafts.value = texts.map((text, i) => {
      const draft = old[i];
      if (!draft) return make(text);
      return draft.text === text ? draft : { ...draft, text, given: draft.given + 1 };
    });
  }
  return drafts;
}

/** Puts queries into the URL, from where they are drawn. */
function show(texts: string[], tab: Tab): void {
  const next = new URLSearchParams(route.peek().params);
  next.delete('q');
  for (const text of texts) if (text.trim() !== '') next.append('q', text.trim());
  if (tab === 'table') next.set('tab', 'table');
  else next.delete('tab');
  setParams(next);
}

function Actions({ run, add }: { run: () => void; add: () => void }) {
  return (
    <div class="query-actions">
      <button type="button" class="primary" onClick={run}>
        Run
      </button>
      <button type="button" class="control" onClick={add}>
        <Icon name="plus" />
        Add a query
      </button>
      <span class="quiet wide">Enter runs, Shift+Enter breaks the line</span>
    </div>
  );
}

export function Explore() {
  const page = usePage();
  const element = useRef<HTMLElement>(null);
  const focused = useRef<{ insert: (text: string) => void } | null>(null);
  const { params } = route.value;
  const queries = queriesOf(params);
  const tab = tabOf(params);
  const drafts = useDrafts(queries);
  const results = useSignal<Results>({ shown: null, tab, states: [], loading: false });
  const task = useMemo(() => exploreTask(results, element), [results]);
  useTask(task, element);
  useEffect(() => page.restart(task), [page, task, tab, JSON.stringify(queries)]);

  const texts = (): string[] => drafts.peek().map((d) => d.text);
  const run = (): void => {
    addToHistory(texts());
    show(texts(), tab);
    page.restart(task);
  };
  const edit = (id: number, text: string): void => {
    drafts.value = drafts.peek().map((d) => (d.id === id ? { ...d, text } : d));
  };
  const remove = (i: number): void => show(texts().toSpliced(i, 1), tab);
  const add = (): void => {
    // Far from the numbers that drafts of the URL get, so that no two drafts share one.
    const id = Math.max(...drafts.peek().map((d) => d.id)) + 1000;
    drafts.value = [...drafts.peek(), { id, text: '', given: 0 }];
  };
  const replaceLast = (expr: string): void => {
    const all = texts();
    all[all.length - 1] = expr;
    addToHistory([expr]);
    show(all, tab);
  };

  return (
    <div class="explore">
      <section class="work" ref={element} aria-label="Queries and results">
        <div class="queries panel">
          {drafts.value.map((draft, i) => (
            <QueryRow
              key={draft.id}
              name={String.fromCharCode(65 + (i % 26))}
              text={draft.text}
              given={draft.given}
              state={
                results.value.shown?.exprs[i] === draft.text.trim()
                  ? results.value.states[i]
                  : undefined
              }
              removable={drafts.value.length > 1}
              onChange={(text) => edit(draft.id, text)}
              onRun={run}
              onRemove={() => remove(i)}
              onFocus={(editor) => {
                focused.current = editor;
              }}
            />
          ))}
          <Actions run={run} add={add} />
        </div>
        <Output results={results.value} tab={tab} onTab={(next) => show(queries, next)} />
      </section>
      <Side onInsert={(text) => focused.current?.insert(text)} onReplace={replaceLast} />
    </div>
  );
}

interface OutputProps {
  results: Results;
  tab: Tab;
  onTab: (tab: Tab) => void;
}

function Output({ results, tab, onTab }: OutputProps) {
  const { shown, loading } = results;
  const some = (results.tab === 'graph' ? shown?.rows : shown?.samples)?.some(
    (part) => part.length > 0,
  );
  return (
    <div class="output panel" aria-busy={loading}>
      <div class="tabs" role="tablist" aria-label="Result">
        {(['graph', 'table'] as const).map((name) => (
          <button
            key={name}
            type="button"
            role="tab"
            aria-selected={tab === name}
            onClick={() => onTab(name)}
          >
            {name === 'graph' ? 'Graph' : 'Table'}
          </button>
        ))}
      </div>
      {shown && some && results.tab === 'graph' && <Graph shown={shown} />}
      {shown && some && results.tab === 'table' && <Table shown={shown} />}
      {!some && (
        <div class="void tall">
          {shown === null || shown.exprs.length === 0
            ? 'Type a query, or choose a metric or an example.'
            : 'Nothing to show. The reason stands under the query.'}
        </div>
      )}
    </div>
  );
}
