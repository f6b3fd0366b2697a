/**
 * Colours of series: eight that colour-blind people tell apart (after Okabe and Ito, moved until each
 * has a contrast of 3:1 on its background). None of them is red: red means that something is wrong.
 *
 * A series keeps its colour as long as its name stays, whatever else is on the chart.
 */

export type Shade = 'light' | 'dark';

const PALETTE: Record<Shade, string[]> = {
  light: ['#1a6fb8', '#c27400', '#00805a', '#9a4f97', '#2f98cc', '#858000', '#85572f', '#66717e'],
  dark: ['#5aa7ea', '#efa836', '#33c08f', '#d08fcb', '#93d6fa', '#e0d65a', '#c99c72', '#98a4b1'],
};

export interface Inks {
  grid: string;
  text: string;
  limit: string;
  accent: string;
  bad: string;
}

export const INK: Record<Shade, Inks> = {
  light: { grid: '#e8ebee', text: '#5a636d', limit: '#3c434a', accent: '#0a5fbd', bad: '#b5232b' },
  dark: { grid: '#262c32', text: '#98a2ac', limit: '#c3cad1', accent: '#6cb0f5', bad: '#ff8a84' },
};

/** Names whose colour is chosen, so that CPU "user" looks the same on every page. */
const FIXED: Record<string, number> = {
  user: 0,
  system: 1,
  iowait: 3,
  nice: 4,
  irq: 5,
  softirq: 6,
  steal: 2,
  used: 0,
  cached: 4,
  buffers: 5,
  free: 7,
  '1 min': 0,
  '5 min': 1,
  '15 min': 2,
};

function hash(text: string): number {
  let h = 2166136261;
  for (let i = 0; i < text.length; i += 1) {
    h = Math.imul(h ^ text.charCodeAt(i), 16777619);
  }
  return h >>> 0;
}

/**
 * The palette index of each name. Names hash to a place and take the next free one when it is taken,
 * in the order of the names, so that one more series leaves the others' colours mostly alone.
 */
export function assign(names: string[]): Map<string, number> {
  const size = PALETTE.light.length;
  const taken = new Array<number>(size).fill(0);
  const out = new Map<string, number>();
  for (const name of names) {
    const fixed = FIXED[name];
    if (fixed === undefined || out.has(name)) continue;
    out.set(name, fixed);
    taken[fixed] = (taken[fixed] ?? 0) + 1;
  }
  for (const name of [...new Set(names)].sort()) {
    if (out.has(name)) continue;
    const least = Math.min(...taken);
    let at = hash(name) % size;
    while (taken[at] !== least) at = (at + 1) % size;
    out.set(name, at);
    taken[at] = (taken[at] ?? 0) + 1;
  }
  return out;
}

const KEY = 'masthead.colours';
/** Colours remembered for apps; the oldest is forgotten past this. */
const MOST_APPS = 400;
let apps: Map<string, number> | null = null;

function remembered(): Map<string, number> {
  // Storage may be forbidden or hold nonsense; then the colours last as long as the page.
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(KEY) ?? '[]');
    const pairs = (kept as [string, number][]).filter(
      ([name, at]) => typeof name === 'string' && Number.isInteger(at) && at >= 0,
    );
    return new Map(pairs);
  } catch {
    return new Map();
  }
}

/**
 * The palette index of an app, the same on every page and chart for as long as this browser remembers
 * it. A new app takes the colour that the fewest have, beginning where its name falls.
 */
export function tintOf(app: string): number {
  apps ??= remembered();
  const known = apps.get(app);
  if (known !== undefined) return known;
  const size = PALETTE.light.length;
  const taken = new Array<number>(size).fill(0);
  for (const at of apps.values()) taken[at % size] = (taken[at % size] ?? 0) + 1;
  const least = Math.min(...taken);
  let at = hash(app) % size;
  while (taken[at] !== least) at = (at + 1) % size;
  apps.set(app, at);
  const oldest = apps.keys().next().value;
  if (apps.size > MOST_APPS && oldest !== undefined) apps.delete(oldest);
  try {
    localStorage.setItem(KEY, JSON.stringify([...apps]));
  } catch {
    // The colour holds until the page is closed.
  }
  return at;
}

export function colour(index: number, shade: Shade): string {
  return PALETTE[shade][index % PALETTE[shade].length] ?? '#888888';
}

/** A colour with an alpha of 0 to 1, as #rrggbbaa. */
export function fade(hex: string, alpha: number): string {
  return (
    hex +
    Math.round(alpha * 255)
      .toString(16)
      .padStart(2, '0')
  );
}
