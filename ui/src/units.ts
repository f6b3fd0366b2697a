/**
 * Units: how a number becomes words, for a value and for the ticks of an axis.
 *
 * Bytes count in powers of 1024, everything else in powers of 1000. A value never shows more than
 * three significant digits, because nobody reads the fourth while looking for a fault.
 */

export type Unit = 'count' | 'count/s' | 'bytes' | 'bytes/s' | 'bits/s' | 'percent' | 'seconds';

interface Scale {
  base: 1000 | 1024;
  names: string[];
}

const BYTES: Scale = { base: 1024, names: ['B', 'KB', 'MB', 'GB', 'TB', 'PB'] };
const BITS: Scale = { base: 1000, names: ['b', 'kb', 'Mb', 'Gb', 'Tb', 'Pb'] };
const COUNT: Scale = { base: 1000, names: ['', 'k', 'M', 'G', 'T', 'P'] };

const SCALES: Record<Exclude<Unit, 'percent' | 'seconds'>, { scale: Scale; per: string }> = {
  count: { scale: COUNT, per: '' },
  'count/s': { scale: COUNT, per: '/s' },
  bytes: { scale: BYTES, per: '' },
  'bytes/s': { scale: BYTES, per: '/s' },
  'bits/s': { scale: BITS, per: '/s' },
};

/** Three significant digits without an exponent: 1.23, 12.3, 123, 0.0123. */
export function digits(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return '0';
  if (size >= 99.95) return value.toFixed(0);
  if (size >= 9.995) return trim(value.toFixed(1));
  if (size >= 0.1) return trim(value.toFixed(2));
  return size < 1e-6 ? value.toExponential(1) : trim(value.toPrecision(2));
}

function trim(text: string): string {
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}

function exponent(size: number, scale: Scale): number {
  let power = 0;
  // 999.95 would be shown as "1000", so it already belongs to the next power.
  while (size >= scale.base * 0.99995 && power < scale.names.length - 1) {
    size /= scale.base;
    power += 1;
  }
  return power;
}

/** A value with its unit, as a person says it: "1.2 GB", "340 kb/s", "12.5 %", "3.2 ms". */
export function format(value: number | null | undefined, unit: Unit): string {
  if (value === null || value === undefined || Number.isNaN(value)) return '–';
  if (!Number.isFinite(value)) return value > 0 ? '∞' : '-∞';
  // A hundredth of a percent is the finest that means anything.
  if (unit === 'percent') return `${digits(Math.round(value * 100) / 100)} %`;
  if (unit === 'seconds') return seconds(value);
  const { scale, per } = SCALES[unit];
  const power = exponent(Math.abs(value), scale);
  const name = `${scale.names[power]}${per}`;
  const number = digits(value / scale.base ** power);
  return name === '' || name === '/s' ? number + name : glue(number, name, unit);
}

function glue(number: string, name: string, unit: Unit): string {
  // Counts read better without a space: "12.3k", but "12.3 MB".
  return unit.startsWith('count') ? number + name : `${number} ${name}`;
}

function seconds(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return '0 s';
  if (size < 1e-6) return `${digits(value * 1e9)} ns`;
  if (size < 1e-3) return `${digits(value * 1e6)} µs`;
  if (size < 1) return `${digits(value * 1e3)} ms`;
  if (size < 120) return `${digits(value)} s`;
  if (size < 7200) return `${digits(value / 60)} min`;
  if (size < 172_800) return `${digits(value / 3600)} h`;
  return `${digits(value / 86_400)} d`;
}

/** "1.2 of 2 GB": both in the unit of the larger, which is named once. */
export function formatOf(value: number, whole: number, unit: 'bytes' | 'count'): string {
  const { scale } = SCALES[unit];
  const power = exponent(Math.max(Math.abs(value), Math.abs(whole)), scale);
  const part = digits(value / scale.base ** power);
  const all = digits(whole / scale.base ** power);
  return `${part} of ${all} ${scale.names[power]}`.trim();
}

/**
 * The ticks of an axis, all in one unit with the same number of decimals, so that they can be
 * compared at a glance. Signs are dropped when the chart is mirrored: below zero is "the other way".
 */
export function formatTicks(ticks: number[], unit: Unit, mirrored = false): string[] {
  const values = mirrored ? ticks.map(Math.abs) : ticks;
  const largest = Math.max(...values.map(Math.abs), 0);
  const gap = values.length > 1 ? Math.abs((ticks[1] ?? 0) - (ticks[0] ?? 0)) : largest;
  const { factor, name } = tickScale(largest, unit);
  const step = gap / factor;
  const decimals = decimalsOf(step);
  return values.map((v) => (v === 0 ? '0' : (v / factor).toFixed(decimals) + name));
}

/** As many decimals as tell the ticks apart and no value wrong: 2 for a step of 0.25, 1 for 0.5. */
function decimalsOf(step: number): number {
  if (step === 0) return 0;
  const most = Math.min(6, Math.max(0, Math.ceil(-Math.log10(step))) + 1);
  let decimals = 0;
  const isWhole = (x: number) => Math.abs(x - Math.round(x)) < 1e-6;
  while (decimals < most && !isWhole(step * 10 ** decimals)) decimals += 1;
  return decimals;
}

function tickScale(largest: number, unit: Unit): { factor: number; name: string } {
  if (unit === 'percent') return { factor: 1, name: ' %' };
  if (unit === 'seconds') {
    if (largest < 1e-3) return { factor: 1e-6, name: ' µs' };
    if (largest < 1) return { factor: 1e-3, name: ' ms' };
    if (largest < 600) return { factor: 1, name: ' s' };
    if (largest < 36_000) return { factor: 60, name: ' min' };
    return largest < 864_000 ? { factor: 3600, name: ' h' } : { factor: 86_400, name: ' d' };
  }
  const { scale, per } = SCALES[unit];
  const power = exponent(largest, scale);
  const name = `${scale.names[power]}${per}`;
  return {
    factor: scale.base ** power,
    name: name === '' || unit.startsWith('count') ? name : ` ${name}`,
  };
}

/** The distances an axis may choose between its ticks, so that bytes break at 256 MB, not 250 MB. */
export function tickSteps(unit: Unit): number[] {
  const steps: number[] = [];
  if (unit.startsWith('bytes')) {
    for (let power = 0; power < 60; power += 1) steps.push(2 ** power);
    return steps;
  }
  for (let power = -9; power < 18; power += 1) {
    for (const factor of [1, 2, 2.5, 5]) steps.push(Number(`${factor}e${power}`));
  }
  return steps;
}

/** What the name of a metric says about its unit; Explore has nothing else to go by. */
export function guessUnit(expr: string): Unit {
  const rate = /\b(rate|irate|deriv)\s*\(/.test(expr);
  if (/^\s*(count|sum\s*\(\s*count|group)\b/.test(expr)) return 'count';
  if (/_bytes(_total)?\b/.test(expr) && !isRatio(expr, '_bytes')) return rate ? 'bytes/s' : 'bytes';
  if (/_seconds(_total)?\b/.test(expr) && !rate && !/_time_seconds\b/.test(expr)) return 'seconds';
  return rate && /_total\b/.test(expr) && !/_seconds_total/.test(expr) ? 'count/s' : 'count';
}

/** Two quantities of one kind divided by each other have no unit any more. */
function isRatio(expr: string, suffix: string): boolean {
  const [over, ...under] = expr.split('/');
  return under.some((part) => part.includes(suffix)) && (over ?? '').includes(suffix);
}
