/**
 * The table of apps. Only rows on the screen exist, so that thousands scroll as lightly as ten; their
 * numbers follow the one-second readings while the order follows the refresh, or rows would jump.
 */

import { computed, useSignal } from '@preact/signals';
import type { RefObject } from 'preact';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { now } from '../api';
import { Sparkline } from '../chart/sparkline';
import { tintOf } from '../colours';
import { reading } from '../readings';
import { moment } from '../time';
import { range } from '../url';
import { age, appHref, cores, Memory, Pair, State } from './cells';
import { type AppFigures, newest, sumReading } from './figures';
import {
  type AppRow,
  type Item,
  itemsOf,
  type SortKey,
  startsDown,
  type View,
  visibleItems,
} from './rows';

/** The present by app, while readings come and the range ends now. */
const live = computed(() =>
  reading.value && range.value.kind === 'last' ? sumReading(reading.value.containers) : null,
);

interface Column {
  key: SortKey;
  title: string;
  about: string;
}

const COLUMNS: Column[] = [
  { key: 'name', title: 'App', about: 'Swarm service, compose project and service, or container' },
  { key: 'state', title: 'State', about: 'The worst state of its containers' },
  { key: 'replicas', title: 'Up', about: 'Containers that run, of all it has' },
  { key: 'cpu', title: 'CPU', about: 'Cores in use' },
  { key: 'memory', title: 'Memory', about: 'Working set, of its limit where it has one' },
  { key: 'network', title: 'Network', about: 'Received above, sent below' },
  { key: 'io', title: 'Disk I/O', about: 'Read above, written below' },
  { key: 'restarts', title: 'Restarts', about: 'Restarts since its containers were made' },
  { key: 'oom', title: 'OOM', about: 'Processes killed for lack of memory' },
  { key: 'age', title: 'Age', about: 'Since the newest container was made: the last deploy' },
];

export interface TableProps {
  rows: AppRow[];
  figures: Map<string, AppFigures>;
  lines: Map<string, (number | null)[]>;
  view: View;
  /** Without it the columns are not for sorting. */
  onSort?: (sort: SortKey, down: boolean) => void;
  /** Told which apps are on the screen. */
  onShown?: (apps: string[]) => void;
}

export function AppsTable(props: TableProps) {
  const { view, rows } = props;
  const body = useRef<HTMLTableSectionElement>(null);
  const items = itemsOf(rows, view.grouped);
  const { from, to, height } = useWindow(body, items.length);
  const shown = items.slice(from, to);
  const { onShown } = props;
  const names = shown.flatMap((item) => (item.kind === 'app' ? [item.row.app] : []));
  const key = names.join('\n');
  useEffect(() => onShown?.(names), [key]);
  return (
    <table class="apps" aria-rowcount={items.length + 1}>
      <thead>
        <tr aria-rowindex={1}>
          {COLUMNS.map((column) => (
            <Head key={column.key} column={column} view={view} onSort={props.onSort} />
          ))}
        </tr>
      </thead>
      <tbody ref={body} onKeyDown={onKey}>
        <Space height={from * height} />
        {shown.map((item, i) => (
          <Line
            key={item.kind === 'app' ? `a ${item.row.app}` : `p ${item.project}`}
            item={item}
            index={from + i + 2}
            {...props}
          />
        ))}
        <Space height={(items.length - to) * height} />
      </tbody>
    </table>
  );
}

/** Arrows move between rows as between the lines of a list. */
function onKey(event: KeyboardEvent): void {
  const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
  const body = event.currentTarget as HTMLElement;
  const links = [...body.querySelectorAll<HTMLElement>('th a')];
  const at = links.indexOf(event.target as HTMLElement);
  if (by === undefined || at < 0) return;
  links[Math.max(0, Math.min(links.length - 1, at + by))]?.focus();
  event.preventDefault();
}

function Space({ height }: { height: number }) {
  if (height <= 0) return null;
  return (
    <tr class="space">
      <td colSpan={COLUMNS.length} style={{ height: `${height}px` }} />
    </tr>
  );
}

const NARROW = '(max-width: 720px)';

/** Which rows the window shows, kept current while the page scrolls. */
function useWindow(
  body: RefObject<HTMLElement | null>,
  count: number,
): { from: number; to: number; height: number } {
  const narrow = useSignal(matchMedia(NARROW).matches);
  const height = narrow.value ? 60 : 40;
  const range = useSignal({ from: 0, to: 40 });
  useLayoutEffect(() => {
    let frame = 0;
    const look = (): void => {
      frame = 0;
      const top = body.current?.getBoundingClientRect().top ?? 0;
      const next = visibleItems(count, height, Math.max(0, -top), window.innerHeight);
      const old = range.peek();
      if (next.from !== old.from || next.to !== old.to) range.value = next;
    };
    const soon = (): void => {
      frame ||= requestAnimationFrame(look);
    };
    const query = matchMedia(NARROW);
    const onNarrow = (): void => {
      narrow.value = query.matches;
    };
    look();
    query.addEventListener('change', onNarrow);
    window.addEventListener('scroll', soon, { passive: true });
    window.addEventListener('resize', soon);
    return () => {
      cancelAnimationFrame(frame);
      query.removeEventListener('change', onNarrow);
      window.removeEventListener('scroll', soon);
      window.removeEventListener('resize', soon);
    };
  }, [body, count, height, range, narrow]);
  const from = Math.min(range.value.from, count);
  return { from, to: Math.min(Math.max(range.value.to, from), count), height };
}

interface HeadProps {
  column: Column;
  view: View;
  onSort: TableProps['onSort'];
}

function Head({ column, view, onSort }: HeadProps) {
  const { key, title, about } = column;
  const sorted = view.sort === key;
  if (!onSort) {
    return (
      <th scope="col" class={`c-${key}`} title={about}>
        {title}
      </th>
    );
  }
  const way = view.down ? 'descending' : 'ascending';
  return (
    <th scope="col" class={`c-${key}`} aria-sort={sorted ? way : 'none'}>
      <button
        type="button"
        title={about}
        onClick={() => onSort(key, sorted ? !view.down : startsDown(key))}
      >
        {title}
        {sorted && (
          <span class="arrow" aria-hidden="true">
            {view.down ? '↓' : '↑'}
          </span>
        )}
      </button>
    </th>
  );
}

function Line(props: TableProps & { item: Item; index: number }) {
  const { item, index, figures, lines } = props;
  if (item.kind === 'app') {
    const { row } = item;
    return <Row row={row} index={index} stored={figures.get(row.app)} line={lines.get(row.app)} />;
  }
  return (
    <tr class="project" aria-rowindex={index}>
      <th scope="rowgroup" colSpan={COLUMNS.length}>
        {item.project || 'No project'} <span class="quiet">{item.rows.length}</span>
      </th>
    </tr>
  );
}

interface RowProps {
  row: AppRow;
  index: number;
  stored: AppFigures | undefined;
  line: (number | null)[] | undefined;
}

function Row({ row, index, stored, line }: RowProps) {
  const used = newest(stored, live.value?.get(row.app));
  const all = row.containers.length;
  return (
    <tr aria-rowindex={index} data-app={row.app}>
      <th scope="row" class="c-name">
        <a href={appHref(row.app)}>{row.app}</a>
        <span class="quiet" title={row.image}>
          {row.image}
        </span>
      </th>
      <td class="c-state">
        <State state={row.state} level={row.level} />
      </td>
      <td class="c-replicas">
        {row.running}/{all}
      </td>
      <td class="c-cpu">
        <span class="line">{line && <Sparkline values={line} tint={tintOf(row.app)} />}</span>
        <span class="number">{cores(used.cpu)}</span>
      </td>
      <td class="c-memory">
        <Memory used={used.memory} limit={used.limit} />
      </td>
      <td class="c-network pair">
        <Pair first={used.receive} second={used.transmit} bits />
      </td>
      <td class="c-io pair">
        <Pair first={used.read} second={used.written} />
      </td>
      <td class={`c-restarts ${row.restarts > 0 ? '' : 'quiet'}`}>{row.restarts}</td>
      <td class={`c-oom ${row.oomKills > 0 ? 'wrong' : 'quiet'}`}>{row.oomKills}</td>
      <td class="c-age" title={row.since === null ? '' : moment(row.since)}>
        {row.since === null ? '–' : age(now() - row.since)}
      </td>
    </tr>
  );
}
