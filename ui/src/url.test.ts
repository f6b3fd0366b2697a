import { describe, expect, test } from 'vitest';
import type { Range } from './time';
import { pageHref, readRange, readRefresh, writeRange, writeRefresh } from './url';

const params = (text: string): URLSearchParams => new URLSearchParams(text);
const HOUR: Range = { kind: 'last', seconds: 3600 };

describe('a range is read from the URL, and a broken one is the default', () => {
  test.each<[string, Range]>([
    ['', HOUR],
    ['range=5m', { kind: 'last', seconds: 300 }],
    ['range=nonsense', HOUR],
    ['from=100&to=200', { kind: 'fixed', from: 100, to: 200 }],
    ['from=200&to=100', HOUR],
    ['from=100', HOUR],
    ['from=-5&to=100', HOUR],
    ['from=a&to=b&range=6h', { kind: 'last', seconds: 21_600 }],
  ])('%s', (text, want) => expect(readRange(params(text))).toEqual(want));
});

test.each<Range>([HOUR, { kind: 'last', seconds: 300 }, { kind: 'fixed', from: 100, to: 200 }])(
  'a range survives the URL: %j',
  (range) =>
    expect(readRange(writeRange(params('from=1&to=2&range=3d&q=up'), range))).toEqual(range),
);

test('writing a range leaves the other parameters alone', () => {
  const next = writeRange(params('q=up&from=1&to=2'), { kind: 'last', seconds: 300 });
  expect(next.toString()).toBe('q=up&range=5m');
});

describe('refresh', () => {
  test.each([
    ['', 15],
    ['refresh=off', 0],
    ['refresh=1m', 60],
    ['refresh=x', 15],
  ])('%s is %d s', (text, want) => expect(readRefresh(params(text))).toBe(want));

  test.each([0, 5, 15, 300])('%d s survives the URL', (seconds) => {
    expect(readRefresh(writeRefresh(params(''), seconds))).toBe(seconds);
  });
});

test('another page keeps time and server, and drops what was the first page’s own', () => {
  const here = params('range=6h&server=a:9100&q=up&tab=table&refresh=off');
  expect(pageHref('/', here)).toBe('/?range=6h&refresh=off&server=a%3A9100');
  expect(
    pageHref('/explore', params(''), [
      ['q', 'a + b'],
      ['q', 'c'],
    ]),
  ).toBe('/explore?q=a+%2B+b&q=c');
});
