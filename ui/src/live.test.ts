// @vitest-environment node
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';

// The page's parts watch the screen; here there is none.
vi.stubGlobal('IntersectionObserver', class {});
vi.stubGlobal('localStorage', { getItem: () => null, setItem: () => undefined });

let live: typeof import('./live');
let questions: typeof import('./questions');
beforeAll(async () => {
  live = await import('./live');
  questions = await import('./questions');
});

describe('a query is filled in', () => {
  test.each([
    ['node_load1{$host}', 15, '', 'node_load1{job="node-exporter",server=""}'],
    ['rate(x{$host,a="b"}[$rate])', 300, '', 'rate(x{job="node-exporter",server="",a="b"}[315s])'],
    ['x{$containers,app="a"}', 15, '', 'x{job="cadvisor",name!="",server="",app="a"}'],
    [
      'x{$containers}',
      15,
      'web.1:9100',
      'x{job="cadvisor",name!="",instance=~"web\\\\.1(:[0-9]+)?",server=""}',
    ],
    ['up{$host}', 15, 'a"b:9100', 'up{job="node-exporter",instance="a\\"b:9100",server=""}'],
    [
      'up{$host} + x{$containers}',
      15,
      'vm:9100@web-1',
      'up{job="node-exporter",instance="vm:9100",server="web-1"}' +
        ' + x{job="cadvisor",name!="",instance=~"vm(:[0-9]+)?",server="web-1"}',
    ],
  ])('%s', (expr, step, instance, want) => expect(questions.fill(expr, step, instance)).toBe(want));
});

test('several queries are asked as one and taken apart again', () => {
  expect(questions.join(['up'])).toBe('up');
  expect(questions.join(['a', 'b + c'])).toBe(
    'label_replace(a, "masthead_part", "0", "", "") or label_replace(b + c, "masthead_part", "1", "", "")',
  );
  const answer = [
    { metric: { masthead_part: '1', x: 'y' }, value: 1 },
    { metric: { masthead_part: '0' }, value: 2 },
  ];
  expect(questions.split(answer, 2)).toEqual([
    [{ metric: {}, value: 2 }],
    [{ metric: { x: 'y' }, value: 1 }],
  ]);
  expect(questions.split([{ metric: { a: 'b' } }], 1)).toEqual([[{ metric: { a: 'b' } }]]);
});

describe('a range query', () => {
  test('asks for the whole range once, and then for what is new', async () => {
    const asked: { start: string | null; end: string | null }[] = [];
    vi.stubGlobal('fetch', async (_: string, init: { body: URLSearchParams }) => {
      const [start, end] = [init.body.get('start'), init.body.get('end')];
      asked.push({ start, end });
      const values: [number, string][] = [];
      for (let t = Number(start); t <= Number(end); t += 10) values.push([t, String(t)]);
      const body = {
        status: 'success',
        data: { resultType: 'matrix', result: [{ metric: {}, values }] },
      };
      return new Response(JSON.stringify(body));
    });
    const query = new questions.RangeQuery();
    const signal = new AbortController().signal;
    await query.load('up', { start: 0, end: 100, step: 10 }, signal);
    const rows = await query.load('up', { start: 10, end: 110, step: 10 }, signal);
    await query.load('down', { start: 10, end: 110, step: 10 }, signal);
    expect(asked).toEqual([
      { start: '0', end: '100' },
      { start: '80', end: '110' },
      { start: '10', end: '110' },
    ]);
    expect(rows[0]?.values).toEqual([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110]);
  });

  test('passes on what the server says is wrong', async () => {
    vi.stubGlobal('fetch', async () => {
      const body = { status: 'error', errorType: 'bad_data', error: '1:4: parse error: oh' };
      return new Response(JSON.stringify(body), { status: 400 });
    });
    const load = new questions.RangeQuery().load(
      'x',
      { start: 0, end: 10, step: 10 },
      new AbortController().signal,
    );
    await expect(load).rejects.toMatchObject({
      kind: 'bad_data',
      position: { line: 1, column: 4 },
    });
  });
});

describe('the first chart', () => {
  const task = (run: () => Promise<void>, first: boolean): import('./live').Task => ({
    run,
    visible: true,
    rank: 1,
    ranged: false,
    first,
  });
  // A clock of the test's own: a busy machine must not make the wait longer than it is.
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());
  const pause = async (ms: number): Promise<void> => {
    await vi.advanceTimersByTimeAsync(ms);
  };
  const open = (runs: [string, boolean, () => Promise<void>][]) => {
    vi.stubGlobal('document', {
      hidden: true,
      addEventListener: () => undefined,
      removeEventListener: () => undefined,
    });
    vi.stubGlobal('requestAnimationFrame', (next: () => void) => setTimeout(next));
    const began: string[] = [];
    const page = new live.LivePage();
    for (const [name, first, run] of runs) {
      const start = (): Promise<void> => {
        began.push(name);
        return run();
      };
      page.add(task(start, first));
    }
    return { began, page };
  };
  const never = new Promise<void>(() => undefined);

  test('is asked alone, and the rest when it is drawn', async () => {
    let answer: () => void = () => undefined;
    const first = new Promise<void>((done) => {
      answer = done;
    });
    const { began, page } = open([
      ['rest', false, async () => undefined],
      ['first', true, () => first],
    ]);
    await pause(20);
    expect(began).toEqual(['first']);
    expect(page.opened.value).toBe(false);
    answer();
    await pause(20);
    expect(began).toEqual(['first', 'rest']);
    page.close();
  });

  test('does not hold up the rest for long', async () => {
    const { began, page } = open([
      ['rest', false, async () => undefined],
      ['first', true, () => never],
    ]);
    await pause(300);
    expect(began).toEqual(['first', 'rest']);
    page.close();
  });

  test('is not waited for where there is none', async () => {
    const { began, page } = open([['rest', false, async () => undefined]]);
    await pause(0);
    expect(began).toEqual(['rest']);
    page.close();
  });

  test('takes the answer that was asked for early, once', async () => {
    const asked: string[] = [];
    vi.stubGlobal('fetch', async (_: string, init: { body: URLSearchParams }) => {
      asked.push(init.body.get('query') ?? '');
      const result = [{ metric: {}, values: [[0, '1']] }];
      return new Response(
        JSON.stringify({ status: 'success', data: { resultType: 'matrix', result } }),
      );
    });
    const grid = { start: 0, end: 10, step: 10 };
    await questions.askEarly('up', grid);
    const signal = new AbortController().signal;
    expect((await new questions.RangeQuery().load('up', grid, signal))[0]?.values[0]).toBe(1);
    expect(asked).toEqual(['up']);
    await new questions.RangeQuery().load('up', grid, signal);
    expect(asked).toEqual(['up', 'up']);
  });
});
