import { describe, expect, test } from 'vitest';
import { groupMarks, type Mark, type MarkKind, nearest } from './marks';

const mark = (time: number, kind: MarkKind = 'quiet'): Mark => ({ time, kind, text: `${time}` });
const same = (time: number): number => time;

describe('marks that fall together are drawn as one', () => {
  test.each<[string, Mark[], [number, MarkKind, number][]]>([
    ['none', [], []],
    [
      'far apart',
      [mark(0), mark(50)],
      [
        [0, 'quiet', 1],
        [50, 'quiet', 1],
      ],
    ],
    ['near', [mark(0), mark(5)], [[0, 'quiet', 2]]],
    ['the weightiest has the place', [mark(0), mark(3, 'deploy'), mark(5, 'bad')], [[5, 'bad', 3]]],
    ['a lighter one changes nothing', [mark(0, 'bad'), mark(3, 'deploy')], [[0, 'bad', 2]]],
  ])('%s', (_, marks, want) =>
    expect(groupMarks(marks, same, 7).map((g) => [g.at, g.kind, g.marks.length])).toEqual(want),
  );

  test('a chain of near ones does not become one group without an end', () => {
    const groups = groupMarks(
      Array.from({ length: 100 }, (_, i) => mark(i * 2)),
      same,
      7,
    );
    expect(groups.length).toBeGreaterThan(20);
    expect(groups.reduce((sum, group) => sum + group.marks.length, 0)).toBe(100);
  });
});

test.each([
  [12, 10],
  [94, 100],
  [50, null],
])('the cursor at %d finds the mark at %s', (at, want) => {
  const groups = groupMarks([mark(10), mark(100)], same, 7);
  expect(nearest(groups, at, 7)?.at ?? null).toBe(want);
});
