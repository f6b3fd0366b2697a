import { beforeAll, describe, expect, test, vi } from 'vitest';
import type { Container } from '../containers';
import { type ContainerEvent, countEvents, isWeighty, toMark } from '../events';
import { fitsTarget } from '../pages/targets';
import type { ContainerReading } from '../readings';
import { EMPTY } from './figures';
import {
  type AppRow,
  arrange,
  crashes,
  groupApps,
  itemsOf,
  readView,
  stateOf,
  type View,
  visibleItems,
  writeView,
} from './rows';

vi.hoisted(() => {
  // The page's parts watch the screen; here there is none.
  vi.stubGlobal('IntersectionObserver', class {});
  vi.stubGlobal('localStorage', { getItem: () => null, setItem: () => undefined });
  vi.stubGlobal('matchMedia', () => ({ matches: false, addEventListener: () => undefined }));
});

let figures: typeof import('./figures');
let app: typeof import('../pages/app');
let cells: typeof import('./cells');
beforeAll(async () => {
  figures = await import('./figures');
  app = await import('../pages/app');
  cells = await import('./cells');
});

const container = (name: string, more: Partial<Container> = {}): Container => ({
  id: name,
  name,
  image: 'image:1',
  app: name,
  project: '',
  state: 'running',
  health: '',
  exitCode: null,
  restarts: 0,
  oomKills: 0,
  createdAt: 100,
  startedAt: 100,
  finishedAt: null,
  labels: {},
  ...more,
});
const task = (slot: number, id: string, more: Partial<Container> = {}): Container =>
  container(`blog_api.${slot}.${id.padEnd(25, 'x')}`, {
    app: 'blog_api',
    project: 'blog',
    ...more,
  });

describe('containers become apps', () => {
  test('replicas of one app are one row, and rows are sorted by name', () => {
    const rows = groupApps([
      container('shop-web-2', { app: 'shop-web', project: 'shop', restarts: 2, createdAt: 300 }),
      container('shop-web-1', { app: 'shop-web', project: 'shop', restarts: 1, oomKills: 1 }),
      container('hog'),
    ]);
    expect(rows.map((row) => [row.app, row.running, row.containers.length])).toEqual([
      ['hog', 1, 1],
      ['shop-web', 2, 2],
    ]);
    expect(rows[1]).toMatchObject({ project: 'shop', restarts: 3, oomKills: 1, since: 300 });
  });

  test('a stopped task of an earlier deploy is history, not a missing replica', () => {
    const [row] = groupApps([
      task(1, 'old', { state: 'exited', exitCode: 143, createdAt: 10 }),
      task(1, 'new', { createdAt: 200 }),
      task(2, 'other', { createdAt: 150 }),
    ]);
    expect(row).toMatchObject({ running: 2, level: 'ok', since: 200 });
    expect(row?.containers).toHaveLength(2);
    expect(row?.past.map((c) => c.exitCode)).toEqual([143]);
  });

  test('a one-off run that ended does not count, unless it is all there is', () => {
    const run = container('shop-web-run-1', {
      app: 'shop-web',
      state: 'exited',
      exitCode: 1,
      labels: { 'com.docker.compose.oneoff': 'True' },
    });
    expect(groupApps([run, container('w', { app: 'shop-web' })])[0]).toMatchObject({
      level: 'ok',
      running: 1,
    });
    expect(groupApps([run])[0]).toMatchObject({ state: 'exited (1)', past: [] });
  });
});

test('an app that ends again and again is in trouble even while it runs', () => {
  const loops = ['worker'];
  expect(groupApps([container('worker')], loops)[0]).toMatchObject({
    state: 'crash loop',
    level: 'bad',
  });
  expect(groupApps([container('web')], loops)[0]).toMatchObject({ state: 'running' });
});

test.each([
  [null, '–'],
  [0, '0'],
  [0.0034, '0.003'],
  [0.12, '0.12'],
  [3.456, '3.46'],
  [12.34, '12.3'],
  [120.4, '120'],
])('%s cores are written %s', (value, want) => expect(cells.cores(value)).toBe(want));

test.each([
  [30, '30 s'],
  [1650, '27 min'],
  [130_000, '36 h'],
  [700_000, '8 d'],
])('an age of %d s is written %s', (seconds, want) => expect(cells.age(seconds)).toBe(want));

describe('the state of an app is the worst of its containers', () => {
  const exited = (exitCode: number, oomKills = 0): Container =>
    container('x', { state: 'exited', exitCode, oomKills });
  test.each<[string, Container[], string, string]>([
    ['all run', [container('a'), container('b')], 'running', 'ok'],
    ['all healthy', [container('a', { health: 'healthy' })], 'healthy', 'ok'],
    [
      'one unhealthy',
      [container('a'), container('b', { health: 'unhealthy' })],
      'unhealthy',
      'bad',
    ],
    [
      'one restarting',
      [container('a'), container('b', { state: 'restarting' })],
      'restarting',
      'bad',
    ],
    ['one of two is gone', [container('a'), exited(0)], '1 of 2 running', 'warn'],
    ['health not yet known', [container('a', { health: 'starting' })], 'starting', 'quiet'],
    ['paused', [container('a', { state: 'paused' })], 'paused', 'warn'],
    ['ended well', [exited(0)], 'exited', 'quiet'],
    ['stopped by somebody', [exited(143)], 'exited', 'quiet'],
    ['killed by somebody', [exited(137)], 'exited', 'quiet'],
    ['killed for its memory', [exited(137, 1)], 'OOM killed', 'bad'],
    ['failed', [exited(2)], 'exited (2)', 'bad'],
    ['never started', [container('a', { state: 'created' })], 'created', 'quiet'],
    ['none at all', [], 'gone', 'quiet'],
  ])('%s', (_, containers, state, level) => expect(stateOf(containers)).toEqual({ state, level }));
});

describe('the choice stands in the URL', () => {
  const params = (text: string): URLSearchParams => new URLSearchParams(text);
  test.each<[string, Partial<View>]>([
    ['', { sort: 'cpu', down: true, show: 'all', find: '', grouped: false }],
    ['sort=name', { sort: 'name', down: false }],
    ['sort=-memory&find=a+b', { sort: 'memory', down: true, find: 'a b' }],
    ['sort=nonsense&show=everything', { sort: 'cpu', down: true, show: 'all' }],
    ['show=trouble&group=project', { show: 'trouble', grouped: true }],
  ])('%s', (text, want) => {
    const view = readView(params(text));
    expect(view).toMatchObject(want);
    expect(readView(writeView(params('range=6h'), view))).toEqual(view);
  });

  test('what is usual is left out, and what belongs to others stays', () => {
    expect(writeView(params('range=6h&sort=name'), readView(params(''))).toString()).toBe(
      'range=6h',
    );
  });
});

describe('rows are arranged', () => {
  const rows = groupApps([
    container('a', { project: 'one', image: 'nginx' }),
    container('b', { project: 'two', state: 'exited', exitCode: 1, restarts: 9 }),
    container('c', { project: 'one', oomKills: 3, createdAt: 50 }),
    container('d', { state: 'exited', exitCode: 0 }),
  ]);
  const used = new Map([
    ['a', { ...EMPTY, cpu: 1, memory: 10, receive: 5 }],
    ['c', { ...EMPTY, cpu: 3, memory: 5, transmit: 9 }],
  ]);
  const order = (text: string): string =>
    arrange(rows, used, readView(new URLSearchParams(text)))
      .map((row) => row.app)
      .join('');
  test.each([
    ['', 'cabd'],
    ['sort=cpu', 'acbd'],
    ['sort=-memory', 'acbd'],
    ['sort=-network', 'cabd'],
    ['sort=name', 'abcd'],
    ['sort=-name', 'dcba'],
    ['sort=-state', 'bacd'],
    ['sort=-restarts', 'bacd'],
    ['sort=-oom', 'cabd'],
    ['sort=age', 'abdc'],
    ['find=NGINX&sort=name', 'a'],
    ['find=one&sort=name', 'ac'],
    ['find=one+c', 'c'],
    ['show=trouble', 'b'],
    ['show=running&sort=name', 'ac'],
    ['show=stopped&sort=name', 'bd'],
    ['find=nothing', ''],
  ])('%s', (text, want) => expect(order(text)).toBe(want));

  test('by project, those without one last', () => {
    const items = itemsOf(arrange(rows, used, readView(new URLSearchParams('sort=name'))), true);
    const words = items.map((item) =>
      item.kind === 'app' ? item.row.app : `${item.project}/${item.rows.length}`,
    );
    expect(words).toEqual(['one/2', 'a', 'c', 'two/1', 'b', '/1', 'd']);
  });
});

describe('thousands of rows', () => {
  const rows: AppRow[] = groupApps(
    Array.from({ length: 5000 }, (_, i) => container(`app-${i}`, { project: `p${i % 40}` })),
  );
  test('are few on the screen', () => {
    const items = itemsOf(rows, true);
    expect(items).toHaveLength(5040);
    const { from, to } = visibleItems(items.length, 40, 100_000, 1000);
    expect(to - from).toBeLessThan(50);
    expect(from * 40).toBeLessThanOrEqual(100_000);
    expect(to * 40).toBeGreaterThanOrEqual(101_000);
  });

  test.each([
    ['at the top', 0, 0, 33],
    ['at the end', 5000 * 40, 4992, 5000],
    ['past the end', 9e9, 5000, 5000],
  ])('%s', (_, above, from, to) =>
    expect(visibleItems(5000, 40, above, 1000)).toEqual({ from, to }),
  );
});

describe('readings are laid over figures', () => {
  const reading = (name: string, more: Partial<ContainerReading>): ContainerReading => ({
    id: name,
    name,
    app: 'web',
    project: '',
    cpuCores: null,
    memoryWorkingSetBytes: null,
    memoryLimitBytes: null,
    receiveBytesPerSecond: null,
    transmitBytesPerSecond: null,
    readBytesPerSecond: null,
    writtenBytesPerSecond: null,
    processes: null,
    ...more,
  });
  const limited = { memoryWorkingSetBytes: 5, memoryLimitBytes: 10 };

  test('replicas are summed, and a first reading has no rates', () => {
    const sums = figures.sumReading([
      reading('a', { ...limited, cpuCores: 0.5 }),
      reading('b', { ...limited }),
    ]);
    expect(sums.get('web')).toEqual({ ...EMPTY, cpu: 0.5, memory: 10, limit: 20 });
  });

  test('one replica without a limit leaves the app without one', () => {
    const sums = figures.sumReading([
      reading('a', limited),
      reading('b', { memoryWorkingSetBytes: 5 }),
      reading('c', limited),
    ]);
    expect(sums.get('web')).toMatchObject({ memory: 15, limit: null });
  });

  test('what a reading does not know is taken from the last refresh', () => {
    const stored = { ...EMPTY, cpu: 2, memory: 100, limit: 200, read: 7 };
    const live = { ...EMPTY, memory: 90, limit: 200 };
    expect(figures.newest(stored, live)).toMatchObject({ cpu: 2, memory: 90, limit: 200, read: 7 });
    expect(figures.newest(stored, undefined)).toBe(stored);
    expect(figures.newest(undefined, undefined)).toEqual(EMPTY);
  });

  test('an answer of joined queries becomes one row an app', () => {
    const sample = (app: string, value: number) => ({ metric: { app }, value, time: 0 });
    const table = figures.tableOf([[sample('a', 1), sample('b', Number.NaN)], [sample('a', 10)]]);
    expect(table.get('a')).toEqual({ ...EMPTY, cpu: 1, memory: 10 });
    expect(table.get('b')).toEqual(EMPTY);
  });

  test('a name is matched as it is written', () => {
    expect(figures.appMatcher(['a.b', 'c'])).toBe(',app=~"a\\\\.b|c"');
  });
});

describe('events', () => {
  const event = (
    time: number,
    name: string,
    more: Partial<ContainerEvent> = {},
  ): ContainerEvent => ({
    time,
    app: 'web',
    project: '',
    container: 'web-1',
    id: 'x',
    event: name,
    ...more,
  });
  test.each<[string, Partial<ContainerEvent>, string, string]>([
    ['deploy', { image: 'nginx:2' }, 'deploy', 'web-1 deployed, nginx:2'],
    ['exit', { exitCode: 137 }, 'bad', 'web-1 exited (137)'],
    ['exit', { exitCode: 0 }, 'quiet', 'web-1 exited (0)'],
    ['oom_kill', {}, 'bad', 'web-1 OOM killed'],
    ['unhealthy', {}, 'bad', 'web-1 unhealthy'],
    ['stop', {}, 'quiet', 'web-1 stopped'],
    ['something new', {}, 'quiet', 'web-1 something new'],
  ])('%s is a mark', (name, more, kind, text) =>
    expect(toMark(event(5, name, more))).toEqual({ time: 5, kind, text }),
  );

  test('the weighty ones are counted in words', () => {
    const events = [
      event(1, 'deploy'),
      event(2, 'deploy'),
      event(3, 'oom_kill'),
      event(4, 'exit', { exitCode: 0 }),
      event(5, 'start'),
    ];
    expect(countEvents(events).map((c) => c.text)).toEqual(['2 deploys', '1 OOM kill']);
    expect(events.filter(isWeighty)).toHaveLength(3);
  });

  test.each([
    ['three within ten minutes', [0, 300, 600], ['web']],
    ['three within an hour', [0, 1800, 3600], []],
    ['two', [0, 1], []],
  ])('%s exits with an error', (_, times, want) => {
    const exits = times.map((time) => event(time, 'exit', { exitCode: 1 }));
    expect(crashes(exits)).toEqual(want);
    expect(crashes(times.map((time) => event(time, 'exit', { exitCode: 0 })))).toEqual([]);
  });
});

test.each([
  ['shop-web-2', 'shop-web', '2'],
  [`blog_api.1.${'x'.repeat(25)}`, 'blog_api', '1'],
  ['hog', 'hog', 'hog'],
  ['other', 'app', 'other'],
])('the container %s of %s is called %s', (name, of, want) =>
  expect(app.shortName(name, of)).toBe(want),
);

test.each([
  ['all', '', true],
  ['up', '', true],
  ['down', '', false],
  ['all', 'NODE 9100', true],
  ['all', 'nothing', false],
] as const)('a target that is up, filtered by %s and "%s": %s', (shown, find, want) => {
  const target = {
    labels: { job: 'node-exporter', instance: 'vm:9100' },
    discoveredLabels: {},
    scrapePool: 'node-exporter',
    scrapeUrl: 'http://127.0.0.1/metrics/node',
    lastError: '',
    lastScrape: '',
    lastScrapeDuration: 0,
    health: 'up',
  };
  expect(fitsTarget(target, shown, find)).toBe(want);
});
