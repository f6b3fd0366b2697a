/**
 * Time: ranges as they stand in the URL, the steps of a query, and how a moment is written.
 *
 * Everything here is in seconds since the epoch, and `now` is always an argument. A grid is a run of
 * evaluation times that are multiples of its step: two refreshes of one panel therefore share their
 * points, and the second has to ask for the new ones alone.
 */

export type Range = { kind: 'last'; seconds: number } | { kind: 'fixed'; from: number; to: number };

/** Evaluation times of a range query, all multiples of `step`. */
export interface Grid {
  start: number;
  end: number;
  step: number;
}

/** How often a server reads its own sources, until it says so itself; a finer step would only repeat points. */
export const DEFAULT_INTERVAL = 15;

export const PRESETS: { text: string; seconds: number; words: string }[] = [
  { text: '5m', seconds: 300, words: 'Last 5 minutes' },
  { text: '15m', seconds: 900, words: 'Last 15 minutes' },
  { text: '1h', seconds: 3600, words: 'Last hour' },
  { text: '3h', seconds: 10_800, words: 'Last 3 hours' },
  { text: '6h', seconds: 21_600, words: 'Last 6 hours' },
  { text: '12h', seconds: 43_200, words: 'Last 12 hours' },
  { text: '1d', seconds: 86_400, words: 'Last day' },
  { text: '2d', seconds: 172_800, words: 'Last 2 days' },
  { text: '7d', seconds: 604_800, words: 'Last 7 days' },
  { text: '30d', seconds: 2_592_000, words: 'Last 30 days' },
];

export const DEFAULT_RANGE: Range = { kind: 'last', seconds: 3600 };

const SECONDS: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };

/** "1h30m" in seconds, or null where the text is no duration above zero. */
export function parseDuration(text: string): number | null {
  if (!/^(\d+[smhdw])+$/.test(text)) return null;
  let total = 0;
  for (const [, count, unit] of text.matchAll(/(\d+)([smhdw])/g)) {
    total += Number(count) * (SECONDS[unit ?? 's'] ?? 1);
  }
  return total > 0 && Number.isFinite(total) ? total : null;
}

/** The shortest exact text of a duration in whole seconds: 5400 is "1h30m". */
export function formatDuration(seconds: number): string {
  let rest = Math.round(seconds);
  let text = '';
  for (const [unit, size] of [
    ['d', 86_400],
    ['h', 3600],
    ['m', 60],
    ['s', 1],
  ] as const) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) text += count + unit;
  }
  return text || '0s';
}

/** A length of time in plain words with one unit: "9 days", "3 hours", "40 s". */
export function spell(seconds: number): string {
  const units = [
    ['day', 86_400],
    ['hour', 3600],
    ['minute', 60],
  ] as const;
  for (const [word, size] of units) {
    // Two of a unit are needed before it is exact enough: "30 hours" says more than "1 day".
    if (seconds >= size * 2) return `${Math.floor(seconds / size)} ${word}s`;
  }
  return `${Math.max(0, Math.round(seconds))} s`;
}

export function rangeEnds(range: Range, now: number): { from: number; to: number } {
  return range.kind === 'last' ? { from: now - range.seconds, to: now } : range;
}

export function rangeWords(range: Range): string {
  if (range.kind === 'fixed') return `${moment(range.from)} – ${moment(range.to)}`;
  const preset = PRESETS.find((p) => p.seconds === range.seconds);
  return preset ? preset.words : `Last ${formatDuration(range.seconds)}`;
}

const STEPS = [
  1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400,
];

/**
 * The step that gives a chart about one point for every two pixels. A year therefore costs what an
 * hour costs, and no step is finer than the data.
 */
export function chooseStep(seconds: number, width_px: number, interval = DEFAULT_INTERVAL): number {
  const points = Math.max(30, Math.floor(width_px / 2));
  const wanted = Math.max(interval, seconds / points);
  const nice = STEPS.find((step) => step >= wanted);
  return nice ?? Math.ceil(wanted / 86_400) * 86_400;
}

/** The evaluation times within a range. The first lies before `from`, so that the line reaches the edge. */
export function gridOf(range: Range, now: number, step: number): Grid {
  const { from, to } = rangeEnds(range, now);
  return { start: Math.floor(from / step) * step, end: Math.floor(to / step) * step, step };
}

export function gridLength(grid: Grid): number {
  return Math.max(0, Math.round((grid.end - grid.start) / grid.step) + 1);
}

/**
 * The window of `rate` for a step: it must hold two samples even when one scrape was late, and it
 * must not leave samples between two points unseen.
 */
export function rateWindow(step: number, interval = DEFAULT_INTERVAL): number {
  return Math.max(4 * interval, step + interval);
}

const two = (n: number): string => String(n).padStart(2, '0');
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** 14:03:15, in local time. */
export function clock(seconds: number): string {
  const d = new Date(seconds * 1000);
  return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

export function day(seconds: number): string {
  const d = new Date(seconds * 1000);
  return `${d.getDate()} ${MONTHS[d.getMonth()]}`;
}

/** 22 Nov 14:03, in local time. */
export function moment(seconds: number): string {
  return `${day(seconds)} ${clock(seconds).slice(0, 5)}`;
}

/** The local zone with its offset, shown on hover wherever a time stands. */
export function zone(seconds: number): string {
  const offset = -new Date(seconds * 1000).getTimezoneOffset();
  const sign = offset < 0 ? '-' : '+';
  const size = Math.abs(offset);
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return `${name} (UTC${sign}${two(Math.floor(size / 60))}:${two(size % 60)})`;
}

/** Labels of a time axis: the date where a day begins, else the time as exact as the ticks are far apart. */
export function timeTicks(ticks: number[], gap: number): string[] {
  return ticks.map((t) => {
    const text = clock(t);
    if (gap >= 86_400 || text === '00:00:00') return day(t);
    return gap < 60 ? text : text.slice(0, 5);
  });
}

/** The value of an `<input type="datetime-local">`. */
export function toInput(seconds: number): string {
  const d = new Date(seconds * 1000);
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}T${clock(seconds).slice(0, 5)}`;
}

export function fromInput(text: string): number | null {
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? null : ms / 1000;
}
