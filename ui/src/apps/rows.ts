/**
 * Apps out of containers: grouping, the state that sums a group up, sorting, filtering, and how the
 * choice stands in the URL. Pure functions over what the server said.
 */

import type { Container } from '../containers';
import type { ContainerEvent } from '../events';
import type { AppFigures } from './figures';

export type Level = 'bad' | 'warn' | 'ok' | 'quiet';

export interface AppRow {
  app: string;
  project: string;
  /** The containers that make the app up now, by name. */
  containers: Container[];
  /** Those that earlier deploys left behind. */
  past: Container[];
  image: string;
  state: string;
  level: Level;
  running: number;
  restarts: number;
  oomKills: number;
  /** When the newest of its containers was made: the last deploy. */
  since: number | null;
}

/**
 * The place of a container in its app. A swarm task is `service.slot.id`, and each deploy leaves the
 * stopped task of a slot behind; everything else has one container a place.
 */
function slotOf(container: Container): string {
  return container.name.replace(/\.[a-z0-9]{25}$/, '');
}

/** A one-off run of a compose service that has ended is history as well. */
function isPast(container: Container): boolean {
  const oneOff = container.labels['com.docker.compose.oneoff']?.toLowerCase() === 'true';
  return oneOff && container.state !== 'running';
}

const alive = (container: Container): number => (container.state === 'running' ? 1 : 0);
const born = (container: Container): number => container.createdAt ?? 0;

/** Exit codes of a container that did what it was asked to: the end, Ctrl-C, a stop. */
const CLEAN = [0, 130, 143];

function crashed(container: Container): boolean {
  if (container.state === 'dead') return true;
  if (container.state !== 'exited') return false;
  if (container.oomKills > 0 && container.exitCode === 137) return true;
  return ![...CLEAN, 137].includes(container.exitCode ?? 0);
}

/** One row an app, by name. An app of `loops` runs only until it ends again. */
export function groupApps(containers: Container[], loops: string[] = []): AppRow[] {
  const apps = new Map<string, Container[]>();
  for (const container of containers) {
    const group = apps.get(container.app);
    if (group) group.push(container);
    else apps.set(container.app, [container]);
  }
  return [...apps]
    .map(([app, group]) => {
      const row = rowOf(app, group);
      if (!loops.includes(app) || row.level === 'bad') return row;
      return { ...row, state: 'crash loop', level: 'bad' as const };
    })
    .sort((a, b) => a.app.localeCompare(b.app));
}

function rowOf(app: string, group: Container[]): AppRow {
  const newest = [...group].sort((a, b) => alive(b) - alive(a) || born(b) - born(a));
  const slots = new Set<string>();
  const containers: Container[] = [];
  const past: Container[] = [];
  for (const container of newest) {
    const slot = slotOf(container);
    if (slots.has(slot) || isPast(container)) past.push(container);
    else {
      slots.add(slot);
      containers.push(container);
    }
  }
  // An app of which nothing but a one-off run is left is that run.
  if (containers.length === 0) containers.push(...past.splice(0, 1));
  containers.sort((a, b) => a.name.localeCompare(b.name));
  const first = containers[0];
  const created = containers.map(born).filter((at) => at > 0);
  return {
    app,
    project: first?.project ?? '',
    containers,
    past,
    image: first?.image ?? '',
    ...stateOf(containers),
    running: containers.filter(alive).length,
    restarts: sum(group.map((c) => c.restarts)),
    oomKills: sum(group.map((c) => c.oomKills)),
    since: created.length > 0 ? Math.max(...created) : null,
  };
}

const sum = (values: number[]): number => values.reduce((a, b) => a + b, 0);

/** The state of an app in one word, the worst of its containers first. */
export function stateOf(containers: Container[]): { state: string; level: Level } {
  const running = containers.filter(alive);
  if (containers.some((c) => c.state === 'restarting'))
    return { state: 'restarting', level: 'bad' };
  if (running.some((c) => c.health === 'unhealthy')) return { state: 'unhealthy', level: 'bad' };
  if (running.length === 0) return stopped(containers);
  if (running.length < containers.length)
    return { state: `${running.length} of ${containers.length} running`, level: 'warn' };
  if (running.some((c) => c.health === 'starting')) return { state: 'starting', level: 'quiet' };
  if (running.every((c) => c.health === 'healthy')) return { state: 'healthy', level: 'ok' };
  return { state: 'running', level: 'ok' };
}

function stopped(containers: Container[]): { state: string; level: Level } {
  const bad = containers.find(crashed);
  if (bad) {
    const killed = bad.oomKills > 0 && bad.exitCode === 137;
    return { state: killed ? 'OOM killed' : `exited (${bad.exitCode ?? '?'})`, level: 'bad' };
  }
  if (containers.some((c) => c.state === 'paused')) return { state: 'paused', level: 'warn' };
  const state = containers[0]?.state ?? 'gone';
  return { state, level: 'quiet' };
}

/** What a single container's state is called, with what is known of its health. */
export function containerState(container: Container): { state: string; level: Level } {
  return stateOf([container]);
}

/** How far back an end still says something about now. */
export const LATELY_SECONDS = 900;

/** This many ends by itself within the window are a crash loop. */
const LOOP_COUNT = 3;
const LOOP_SECONDS = 600;

/** Apps that ended with an error again and again within a short time, by name. Events rise in time. */
export function crashes(events: ContainerEvent[]): string[] {
  const ends = new Map<string, number[]>();
  const loops = new Set<string>();
  for (const { event, exitCode, app, time } of events) {
    if (event !== 'exit' || !exitCode) continue;
    const list = ends.get(app) ?? [];
    ends.set(app, list);
    list.push(time);
    const first = list[list.length - LOOP_COUNT];
    if (first !== undefined && time - first <= LOOP_SECONDS) loops.add(app);
  }
  return [...loops].sort();
}

export const SORTS = [
  'name',
  'state',
  'replicas',
  'cpu',
  'memory',
  'network',
  'io',
  'restarts',
  'oom',
  'age',
] as const;
export type SortKey = (typeof SORTS)[number];
export const SHOWS = ['all', 'trouble', 'running', 'stopped'] as const;
export type Show = (typeof SHOWS)[number];

/** What the reader chose for the table. */
export interface View {
  sort: SortKey;
  /** From the largest down. */
  down: boolean;
  show: Show;
  find: string;
  grouped: boolean;
}

/** Numbers are wanted largest first, names from A. */
export function startsDown(sort: SortKey): boolean {
  return sort !== 'name';
}

export function readView(params: URLSearchParams): View {
  const text = params.get('sort') ?? '-cpu';
  const named = SORTS.find((key) => key === text.replace(/^-/, ''));
  const show = SHOWS.find((name) => name === params.get('show'));
  return {
    sort: named ?? 'cpu',
    down: named === undefined || text.startsWith('-'),
    show: show ?? 'all',
    find: params.get('find') ?? '',
    grouped: params.get('group') === 'project',
  };
}

export function writeView(params: URLSearchParams, view: View): URLSearchParams {
  const next = new URLSearchParams(params);
  const set = (key: string, value: string, usual: string): void => {
    if (value === usual) next.delete(key);
    else next.set(key, value);
  };
  set('sort', (view.down ? '-' : '') + view.sort, '-cpu');
  set('show', view.show, 'all');
  set('find', view.find, '');
  set('group', view.grouped ? 'project' : '', '');
  return next;
}

function fits(row: AppRow, view: View, words: string[]): boolean {
  if (view.show === 'trouble' && row.level !== 'bad' && row.level !== 'warn') return false;
  if (view.show === 'running' && row.running === 0) return false;
  if (view.show === 'stopped' && row.running > 0) return false;
  if (words.length === 0) return true;
  const text = [row.app, row.project, row.image, row.state, ...row.containers.map((c) => c.name)]
    .join(' ')
    .toLowerCase();
  return words.every((word) => text.includes(word));
}

const LEVELS: Level[] = ['quiet', 'ok', 'warn', 'bad'];

function keyOf(row: AppRow, figures: AppFigures | undefined, sort: SortKey): number | null {
  switch (sort) {
    case 'state':
      return LEVELS.indexOf(row.level);
    case 'replicas':
      return row.running;
    case 'cpu':
      return figures?.cpu ?? null;
    case 'memory':
      return figures?.memory ?? null;
    case 'network':
      return both(figures?.receive, figures?.transmit);
    case 'io':
      return both(figures?.read, figures?.written);
    case 'restarts':
      return row.restarts;
    case 'oom':
      return row.oomKills;
    case 'age':
      // The oldest is the largest age.
      return row.since === null ? null : -row.since;
    default:
      return 0;
  }
}

export function both(a: number | null | undefined, b: number | null | undefined): number | null {
  return a == null && b == null ? null : (a ?? 0) + (b ?? 0);
}

/** The rows that fit, in order. What has no value comes last, whichever way the order goes. */
export function arrange(rows: AppRow[], figures: Map<string, AppFigures>, view: View): AppRow[] {
  const words = view.find.toLowerCase().split(/\s+/).filter(Boolean);
  const way = view.down ? -1 : 1;
  const keyed = rows
    .filter((row) => fits(row, view, words))
    .map((row) => ({ row, key: keyOf(row, figures.get(row.app), view.sort) }));
  keyed.sort((a, b) => {
    if (view.sort === 'name') return a.row.app.localeCompare(b.row.app) * way;
    if (a.key === null || b.key === null) {
      if (a.key !== b.key) return a.key === null ? 1 : -1;
    } else if (a.key !== b.key) return (a.key - b.key) * way;
    return a.row.app.localeCompare(b.row.app);
  });
  return keyed.map(({ row }) => row);
}

/** A line of the table: an app, or the head of a project. */
export type Item =
  | { kind: 'app'; row: AppRow }
  | { kind: 'project'; project: string; rows: AppRow[] };

/** Projects by name, those without one last; within each the order stays. */
export function itemsOf(rows: AppRow[], grouped: boolean): Item[] {
  if (!grouped) return rows.map((row): Item => ({ kind: 'app', row }));
  const projects = new Map<string, AppRow[]>();
  for (const row of rows) {
    const group = projects.get(row.project);
    if (group) group.push(row);
    else projects.set(row.project, [row]);
  }
  return [...projects]
    .sort(([a], [b]) => Number(a === '') - Number(b === '') || a.localeCompare(b))
    .flatMap(([project, group]): Item[] => [
      { kind: 'project', project, rows: group },
      ...group.map((row): Item => ({ kind: 'app', row })),
    ]);
}

/** Which items are on the screen, with some to spare on both sides. */
export function visibleItems(
  count: number,
  height: number,
  above: number,
  screen: number,
): { from: number; to: number } {
  const spare = 8;
  const from = Math.min(count, Math.max(0, Math.floor(above / height) - spare));
  const to = Math.min(count, Math.max(from, Math.ceil((above + screen) / height) + spare));
  return { from, to };
}
