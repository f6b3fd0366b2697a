import { describe, expect, test } from 'vitest';
import { findPosition, ontoGrid, parseNumber, type Row } from './api';
import { assign } from './colours';
import { remember } from './explore/history';
import { metricsIn, shortNames } from './explore/names';
import {
  continues,
  figures,
  type Line,
  labelKey,
  largest,
  merge,
  nameOf,
  selectorOf,
  stack,
} from './series';
import type { Grid } from './time';

const grid = (start: number, end: number): Grid => ({ start, end, step: 10 });
const row = (name: string, values: (number | null)[]): Row => ({ metric: { name }, values });
const line = (name: string, values: (number | null)[]): Line => ({
  key: name,
  name,
  metric: {},
  values,
  role: 'value',
  sign: 1,
});

describe('answers', () => {
  test('go onto the grid, and what is missing stays a hole', () => {
    const points: [number, string][] = [
      [0, '1'],
      [20, '3'],
      [30, '+Inf'],
      [50, '9'],
    ];
    expect(ontoGrid(points, grid(0, 40))).toEqual([1, null, 3, null, null]);
  });

  test.each([
    ['1.5', 1.5],
    ['+Inf', Number.POSITIVE_INFINITY],
    ['-Inf', Number.NEGATIVE_INFINITY],
    ['NaN', Number.NaN],
  ])('%s is a number', (text, want) => expect(parseNumber(text)).toBe(want));

  test.each([
    ['invalid parameter "query": 1:5: parse error: unexpected end', { line: 1, column: 5 }],
    ['2:14: parse error', { line: 2, column: 14 }],
    ['too many samples', null],
  ])('%s', (text, want) => expect(findPosition(text)).toEqual(want));
});

describe('a refresh', () => {
  test('continues a grid that overlaps and has the same step', () => {
    expect(continues(grid(0, 100), grid(10, 110))).toBe(true);
    expect(continues(grid(0, 100), grid(200, 300))).toBe(false);
    expect(continues(grid(0, 100), { start: 0, end: 100, step: 20 })).toBe(false);
    expect(continues(grid(50, 100), grid(0, 110))).toBe(false);
  });

  test('replaces the overlap, adds the new and drops the old', () => {
    const old = [row('a', [1, 2, 3, 4])];
    const fresh = [row('a', [30, 40, 50]), row('b', [null, 7, 8])];
    const merged = merge(old, grid(0, 30), fresh, grid(20, 40), grid(10, 40));
    expect(merged).toEqual([row('a', [2, 30, 40, 50]), row('b', [null, null, 7, 8])]);
  });

  test('forgets a series that has left the range', () => {
    const merged = merge([row('a', [1, null, null])], grid(0, 20), [], grid(20, 30), grid(10, 30));
    expect(merged).toEqual([]);
  });

  test('never makes a row longer than its grid', () => {
    let rows = [row('a', [1, 1, 1, 1])];
    let at = grid(0, 30);
    for (let i = 0; i < 500; i += 1) {
      const next = grid(at.start + 10, at.end + 10);
      rows = merge(rows, at, [row('a', [1, 1])], grid(next.end - 10, next.end), next);
      at = next;
    }
    expect(rows).toEqual([row('a', [1, 1, 1, 1])]);
  });
});

test('figures leave holes out', () => {
  expect(figures([1, null, 3, 2, null])).toEqual({ last: 2, min: 1, mean: 2, max: 3 });
  expect(figures([null])).toEqual({ last: null, min: null, mean: null, max: null });
});

test('a stack sums upwards; a hole in one line is nothing, in all of them a hole', () => {
  expect(stack([line('a', [1, null, null]), line('b', [2, 2, null])])).toEqual([
    [1, 0, null],
    [3, 2, null],
  ]);
});

test('the largest lines are kept in their order, and limits always', () => {
  const lines = [
    line('s', [1]),
    line('l', [9]),
    line('m', [5]),
    { ...line('limit', [0]), role: 'limit' as const },
  ];
  const { kept, left } = largest(lines, 2);
  expect(kept.map((l) => l.name)).toEqual(['l', 'm', 'limit']);
  expect(left).toBe(1);
});

describe('names', () => {
  test('come from a template, a selector or what differs', () => {
    expect(nameOf('{{device}} read', { device: 'sda' })).toBe('sda read');
    expect(nameOf('{{gone}}x', {})).toBe('x');
    expect(selectorOf({ __name__: 'up', job: 'a', z: '"' })).toBe('up{job="a", z="\\""}');
    expect(selectorOf({ __name__: 'up' })).toBe('up');
    expect(labelKey({ b: '1', a: '2' })).toBe(labelKey({ a: '2', b: '1' }));
    const cpus = [
      { __name__: 'c', cpu: '0', job: 'j' },
      { __name__: 'c', cpu: '1', job: 'j' },
    ];
    expect(shortNames(cpus, '')).toEqual(['{cpu="0"}', '{cpu="1"}']);
    expect(shortNames([{}], '1 + 1')).toEqual(['1 + 1']);
  });

  test.each([
    ['up', ['up']],
    ['sum by (mode) (rate(node_cpu_seconds_total{mode="idle"}[5m]))', ['node_cpu_seconds_total']],
    ['a:b / on (x) group_left (y) c offset 5m', ['a:b', 'c']],
    ['vector(1e3) > bool 2', []],
    ['{__name__="up"}', []],
    ['label_replace(up, "a", "$1", "job", "(.*)")', ['up']],
  ])('of metrics in %s', (expr, want) => expect(metricsIn(expr)).toEqual(want));
});

describe('colours', () => {
  test('stay with the name when another comes', () => {
    const few = assign(['sda read', 'sda written']);
    const more = assign(['sda read', 'sda written', 'zram0 read']);
    expect(more.get('sda read')).toBe(few.get('sda read'));
    expect(more.get('sda written')).toBe(few.get('sda written'));
  });

  test('are all different up to eight names', () => {
    const names = ['a', 'b', 'c', 'd', 'e', 'f', 'user', 'system'];
    expect(new Set(assign(names).values()).size).toBe(8);
  });
});

test('the history keeps the newest once and is bounded', () => {
  expect(remember(['b', 'a'], ' a ')).toEqual(['a', 'b']);
  expect(remember(['a'], '  ')).toEqual(['a']);
  let list: string[] = [];
  for (let i = 0; i < 200; i += 1) list = remember(list, `q${i}`);
  expect(list.length).toBe(50);
  expect(list[0]).toBe('q199');
});
