import { beforeAll, describe, expect, test, vi } from 'vitest';
import type { Container } from '../containers';
import type { ContainerEvent } from '../events';

vi.hoisted(() => {
  // The page's parts watch the screen; here there is none.
  vi.stubGlobal('IntersectionObserver', class {});
  vi.stubGlobal('localStorage', { getItem: () => null, setItem: () => undefined });
  vi.stubGlobal('matchMedia', () => ({ matches: false, addEventListener: () => undefined }));
});

let health: typeof import('./container_health');
beforeAll(async () => {
  health = await import('./container_health');
});

const NOW = 1_000_000;
const container = (more: Partial<Container>): Container => ({
  id: 'x',
  name: 'web',
  image: '',
  app: 'web',
  project: '',
  state: 'running',
  health: '',
  exitCode: null,
  restarts: 0,
  oomKills: 0,
  createdAt: 1,
  startedAt: 1,
  finishedAt: null,
  labels: {},
  ...more,
});
const event = (ago: number, name: string, exitCode?: number): ContainerEvent => ({
  time: NOW - ago,
  app: 'web',
  project: '',
  container: 'web',
  id: 'x',
  event: name,
  ...(exitCode === undefined ? {} : { exitCode }),
});

describe('the list of containers', () => {
  test.each<[string, Partial<Container>, string[]]>([
    ['one that runs', {}, []],
    ['one that is unhealthy', { health: 'unhealthy' }, ['web is unhealthy']],
    ['one that restarts', { state: 'restarting', restarts: 7 }, ['web keeps restarting (7 times)']],
    [
      'one that failed lately',
      { state: 'exited', exitCode: 2, finishedAt: NOW - 60 },
      ['web is exited (2)'],
    ],
    ['one that failed long ago', { state: 'exited', exitCode: 2, finishedAt: 60 }, []],
    ['one that was stopped', { state: 'exited', exitCode: 143, finishedAt: NOW - 60 }, []],
  ])('%s', (_, more, want) => {
    const engine = { state: 'connected' as const };
    const found = health.ofInventory({ engine, containers: [container(more)] }, NOW);
    expect(found.map((f) => f.text)).toEqual(want);
  });

  test('an engine that is away says why and what to do', () => {
    const engine = { state: 'away' as const, message: 'permission denied: join the group docker' };
    const [found] = health.ofInventory({ engine, containers: [] }, NOW);
    expect(found).toMatchObject({
      level: 'warn',
      text: 'Docker does not answer: permission denied: join the group docker',
    });
  });
});

describe('what happened within the hour', () => {
  test.each<[string, ContainerEvent[], string[]]>([
    ['nothing bad', [event(60, 'deploy'), event(30, 'exit', 0)], []],
    ['one OOM kill', [event(300, 'oom_kill')], ['web was OOM killed 5 minutes ago']],
    [
      'two OOM kills',
      [event(900, 'oom_kill'), event(300, 'oom_kill')],
      ['web was OOM killed 2 times, last 5 minutes ago'],
    ],
    [
      'a crash loop',
      [event(300, 'exit', 1), event(200, 'exit', 1), event(100, 'exit', 1)],
      ['web crashes again and again'],
    ],
  ])('%s', (_, events, want) =>
    expect(health.ofEvents(events, [], NOW).map((f) => f.text)).toEqual(want),
  );
});
