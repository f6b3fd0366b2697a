/**
 * Marks: moments that a chart shows as vertical lines. Those that fall together on the screen are
 * drawn as one, so that a crash loop of a thousand restarts costs no more than a few lines.
 */

export type MarkKind = 'deploy' | 'bad' | 'quiet';

export interface Mark {
  /** Seconds since the epoch. */
  time: number;
  kind: MarkKind;
  text: string;
}

/** Marks at one place, in the order of their times. */
export interface MarkGroup {
  /** Where it is drawn, in the unit of `place`. */
  at: number;
  kind: MarkKind;
  marks: Mark[];
}

const WEIGHT: Record<MarkKind, number> = { quiet: 0, deploy: 1, bad: 2 };

/** Groups rising marks that lie nearer than `gap`; the group stands where its weightiest mark is. */
export function groupMarks(
  marks: Mark[],
  place: (time: number) => number,
  gap: number,
): MarkGroup[] {
  const groups: MarkGroup[] = [];
  let start = 0;
  for (const mark of marks) {
    const at = place(mark.time);
    const last = groups.at(-1);
    if (!last || at - start > gap) {
      groups.push({ at, kind: mark.kind, marks: [mark] });
      start = at;
      continue;
    }
    last.marks.push(mark);
    if (WEIGHT[mark.kind] > WEIGHT[last.kind]) {
      last.kind = mark.kind;
      last.at = at;
    }
  }
  return groups;
}

/** The group nearest to a place, when it is near enough. */
export function nearest(groups: MarkGroup[], at: number, reach: number): MarkGroup | null {
  let found: MarkGroup | null = null;
  let best = reach;
  for (const group of groups) {
    const off = Math.abs(group.at - at);
    if (off > best) continue;
    best = off;
    found = group;
  }
  return found;
}
