import { describe, expect, test } from 'vitest';
import {
  chooseStep,
  DEFAULT_INTERVAL,
  formatDuration,
  fromInput,
  gridLength,
  gridOf,
  parseDuration,
  rangeWords,
  rateWindow,
  spell,
  timeTicks,
  toInput,
} from './time';

describe('durations', () => {
  test.each([
    ['15s', 15],
    ['1h30m', 5400],
    ['7d', 604_800],
    ['2w', 1_209_600],
    ['', null],
    ['0s', null],
    ['5', null],
    ['1h x', null],
    ['-1h', null],
  ])('%s is %s seconds', (text, want) => expect(parseDuration(text)).toBe(want));

  test.each([5, 300, 5400, 86_400, 90_061])('%d s survive being written', (seconds) => {
    expect(parseDuration(formatDuration(seconds))).toBe(seconds);
  });

  test.each([
    [9 * 86_400, '9 days'],
    [30 * 3600, '30 hours'],
    [150, '2 minutes'],
    [40, '40 s'],
    [-3, '0 s'],
  ])('%d s in words', (seconds, want) => expect(spell(seconds)).toBe(want));
});

describe('the step follows the width', () => {
  test.each([
    [300, 600, 15],
    [3600, 600, 15],
    [3600, 200, 60],
    [86_400, 600, 300],
    [30 * 86_400, 600, 14_400],
    [365 * 86_400, 600, 172_800],
  ])('%d s on %d px is %d s', (seconds, width, want) =>
    expect(chooseStep(seconds, width)).toBe(want),
  );

  test('no range costs more points than another', () => {
    for (const seconds of [300, 3600, 86_400, 30 * 86_400, 365 * 86_400, 10 * 365 * 86_400]) {
      const step = chooseStep(seconds, 700);
      expect(step).toBeGreaterThanOrEqual(DEFAULT_INTERVAL);
      expect(seconds / step).toBeLessThanOrEqual(350);
    }
  });
});

describe('grids', () => {
  test('lie on multiples of the step and cover the range', () => {
    const grid = gridOf({ kind: 'last', seconds: 3600 }, 1_700_000_007, 15);
    expect(grid).toEqual({ start: 1_699_996_395, end: 1_699_999_995, step: 15 });
    expect(gridLength(grid)).toBe(241);
  });

  test('of a fixed range do not follow the clock', () => {
    const range = { kind: 'fixed', from: 1000, to: 2000 } as const;
    expect(gridOf(range, 5, 60)).toEqual(gridOf(range, 99_999, 60));
  });
});

test('the window of rate holds two samples, and all between two points', () => {
  expect(rateWindow(15)).toBe(60);
  expect(rateWindow(300)).toBe(315);
});

test('ranges in words', () => {
  expect(rangeWords({ kind: 'last', seconds: 3600 })).toBe('Last hour');
  expect(rangeWords({ kind: 'last', seconds: 5400 })).toBe('Last 1h30m');
});

test('a time survives the input field', () => {
  const minute = 1_700_000_040;
  expect(fromInput(toInput(minute))).toBe(minute);
  expect(fromInput('')).toBeNull();
});

test('ticks are as exact as they are far apart, and a day begins with its date', () => {
  const noon = new Date(2026, 10, 22, 12, 0, 0).getTime() / 1000;
  const midnight = new Date(2026, 10, 23, 0, 0, 0).getTime() / 1000;
  expect(timeTicks([noon], 10)).toEqual(['12:00:00']);
  expect(timeTicks([noon, midnight], 43_200)).toEqual(['12:00', '23 Nov']);
  expect(timeTicks([noon], 86_400)).toEqual(['22 Nov']);
});
