import { describe, expect, test } from 'vitest';
import { digits, format, formatOf, formatTicks, guessUnit, tickSteps, type Unit } from './units';

describe('a value never shows more than three significant digits', () => {
  test.each([
    [0, '0'],
    [1.234, '1.23'],
    [12.34, '12.3'],
    [123.4, '123'],
    [99.96, '100'],
    [9.996, '10'],
    [0.0123456, '0.012'],
    [-1.5, '-1.5'],
    [1e-9, '1.0e-9'],
  ])('%d is %s', (value, want) => expect(digits(value)).toBe(want));
});

describe('a value has the unit a person would use', () => {
  test.each<[number | null, Unit, string]>([
    [null, 'bytes', '–'],
    [Number.NaN, 'count', '–'],
    [Number.POSITIVE_INFINITY, 'seconds', '∞'],
    [512, 'bytes', '512 B'],
    [1536, 'bytes', '1.5 KB'],
    [1023.99, 'bytes', '1 KB'],
    [3 * 1024 ** 3, 'bytes', '3 GB'],
    [2048, 'bytes/s', '2 KB/s'],
    [1_000_000, 'bits/s', '1 Mb/s'],
    [999_999, 'bits/s', '1 Mb/s'],
    [12_345, 'count', '12.3k'],
    [7, 'count/s', '7/s'],
    [12.345, 'percent', '12.3 %'],
    [0.0003, 'percent', '0 %'],
    [0.0032, 'seconds', '3.2 ms'],
    [0.0000021, 'seconds', '2.1 µs'],
    [90, 'seconds', '90 s'],
    [600, 'seconds', '10 min'],
    [36_000, 'seconds', '10 h'],
    [864_000, 'seconds', '10 d'],
  ])('%d as %s is %s', (value, unit, want) => expect(format(value, unit)).toBe(want));
});

test('a part of a whole names the unit once', () => {
  expect(formatOf(1.2 * 1024 ** 3, 2 * 1024 ** 3, 'bytes')).toBe('1.2 of 2 GB');
  expect(formatOf(100 * 1024 ** 2, 2 * 1024 ** 3, 'bytes')).toBe('0.098 of 2 GB');
  expect(formatOf(3, 4, 'count')).toBe('3 of 4');
});

describe('the ticks of an axis share unit and decimals', () => {
  test.each<[number[], Unit, boolean, string[]]>([
    [[0, 25, 50], 'percent', false, ['0', '25 %', '50 %']],
    [[0, 0.5, 1], 'count', false, ['0', '0.5', '1.0']],
    [[0, 2.5, 5], 'count', false, ['0', '2.5', '5.0']],
    [[0, 0.25, 0.5], 'count', false, ['0', '0.25', '0.50']],
    [[0, 8 * 1024 ** 3, 16 * 1024 ** 3], 'bytes', false, ['0', '8 GB', '16 GB']],
    [[-2048, 0, 2048], 'bytes/s', true, ['2 KB/s', '0', '2 KB/s']],
    [[0, 5e6, 1e7], 'bits/s', false, ['0', '5 Mb/s', '10 Mb/s']],
    [[0, 0.05, 0.1], 'seconds', false, ['0', '50 ms', '100 ms']],
    [[0, 1000, 2000], 'count', false, ['0', '1k', '2k']],
  ])('%j in %s', (ticks, unit, mirrored, want) =>
    expect(formatTicks(ticks, unit, mirrored)).toEqual(want),
  );
});

test('byte axes break at powers of two, others at decimal steps', () => {
  expect(tickSteps('bytes')).toContain(256 * 1024 ** 2);
  expect(tickSteps('bytes')).not.toContain(250);
  expect(tickSteps('count')).toContain(250);
});

describe('the name of a metric says its unit', () => {
  test.each<[string, Unit]>([
    ['node_memory_MemFree_bytes', 'bytes'],
    ['rate(node_network_receive_bytes_total[5m])', 'bytes/s'],
    ['node_memory_MemFree_bytes / node_memory_MemTotal_bytes', 'count'],
    ['scrape_duration_seconds', 'seconds'],
    ['node_boot_time_seconds', 'count'],
    ['rate(node_cpu_seconds_total[5m])', 'count'],
    ['rate(http_requests_total[5m])', 'count/s'],
    ['count(node_filesystem_size_bytes)', 'count'],
    ['node_load1', 'count'],
  ])('%s is %s', (expr, want) => expect(guessUnit(expr)).toBe(want));
});
