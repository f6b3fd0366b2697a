/**
 * The Prometheus HTTP API, typed, and nothing else: the one place that calls `fetch`.
 *
 * Every call takes an `AbortSignal`, because a page that was left must not keep the server busy.
 * Failures are `ApiError`s whose text a reader can act on; an abort stays an `AbortError`.
 */

import { type Grid, gridLength } from './time';

export type Labels = Record<string, string>;

export interface Sample {
  metric: Labels;
  value: number;
  time: number;
}

/** A series on the grid it was asked for; null where it has no value. */
export interface Row {
  metric: Labels;
  values: (number | null)[];
}

export interface QueryCost {
  /** From request to parsed answer, in milliseconds. */
  took_ms: number;
  series: number;
  points: number;
  /** Samples the server read, when it says so. */
  samples: number | null;
}

export interface Answer<T> {
  data: T;
  warnings: string[];
  cost: QueryCost;
}

export interface Metadata {
  type: string;
  help: string;
  unit: string;
}

export interface Target {
  labels: Labels;
  discoveredLabels: Labels;
  scrapePool: string;
  scrapeUrl: string;
  lastError: string;
  lastScrape: string;
  lastScrapeDuration: number;
  health: string;
}

/** What failed, as the server says it. `position` points into the query when the server knows. */
export class ApiError extends Error {
  constructor(
    readonly kind: string,
    message: string,
    readonly position: { line: number; column: number } | null = null,
  ) {
    super(message);
  }
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError';
}

/** Prometheus starts a parse error with "1:12: parse error: ..." or "invalid parameter \"query\": 1:12: ...". */
export function findPosition(message: string): { line: number; column: number } | null {
  const found = /(?:^|[\s:])(\d+):(\d+):\s/.exec(message);
  return found ? { line: Number(found[1]), column: Number(found[2]) } : null;
}

export function parseNumber(text: string): number {
  if (text === '+Inf' || text === 'Inf') return Number.POSITIVE_INFINITY;
  if (text === '-Inf') return Number.NEGATIVE_INFINITY;
  return Number(text);
}

/** How far the server's clock is ahead of the browser's, in seconds; 0 while they agree within 5 s. */
let skew = 0;

/** Now by the server's clock: a phone whose clock is wrong must not ask for points of the future. */
export function now(): number {
  return Date.now() / 1000 + skew;
}

function readClock(response: Response): void {
  const date = Date.parse(response.headers.get('date') ?? '');
  if (Number.isNaN(date)) return;
  const off = date / 1000 - Date.now() / 1000;
  skew = Math.abs(off) > 5 ? off : 0;
}

interface Envelope {
  status?: string;
  data?: unknown;
  errorType?: string;
  error?: string;
  warnings?: string[];
  infos?: string[];
}

async function call(path: string, init: RequestInit): Promise<Envelope> {
  let response: Response;
  try {
    response = await fetch(path, {
      ...init,
      headers: { accept: 'application/json', ...init.headers },
    });
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new ApiError('network', 'The server does not answer. Is masthead still running?');
  }
  readClock(response);
  const body = (await response.json().catch((error: unknown) => {
    if (isAbort(error)) throw error;
    return null;
  })) as Envelope | null;
  if (response.ok && body?.status === 'success') return body;
  if (body?.error) {
    throw new ApiError(body.errorType ?? 'error', body.error, findPosition(body.error));
  }
  throw new ApiError('http', `${path} answered ${response.status} ${response.statusText}`.trim());
}

/** GET of an endpoint whose data needs no reshaping. */
export async function get<T>(
  path: string,
  params: [string, string][],
  signal: AbortSignal,
): Promise<T> {
  const query = new URLSearchParams(params).toString();
  const body = await call(query ? `${path}?${query}` : path, { signal });
  return body.data as T;
}

function post(
  path: string,
  params: Record<string, string>,
  signal: AbortSignal,
): Promise<Envelope> {
  return call(path, { method: 'POST', body: new URLSearchParams(params), signal });
}

interface QueryData {
  resultType: string;
  result: unknown;
  stats?: { samples?: { totalQueryableSamples?: number } };
}

interface RawSeries {
  metric: Labels;
  value?: [number, string];
  values?: [number, string][];
  histogram?: [number, { count: string; sum: string }];
}

function answer<T>(
  body: Envelope,
  started: number,
  data: T,
  series: number,
  points: number,
): Answer<T> {
  const stats = (body.data as QueryData).stats;
  return {
    data,
    warnings: [...(body.warnings ?? []), ...(body.infos ?? [])],
    cost: {
      took_ms: performance.now() - started,
      series,
      points,
      samples: stats?.samples?.totalQueryableSamples ?? null,
    },
  };
}

/** A query at one moment. A scalar or a string becomes one sample without labels. */
export async function query(
  expr: string,
  time: number,
  signal: AbortSignal,
): Promise<Answer<Sample[]>> {
  const started = performance.now();
  const body = await post(
    '/api/v1/query',
    { query: expr, time: time.toFixed(3), stats: 'all' },
    signal,
  );
  const { resultType, result } = body.data as QueryData;
  const samples: Sample[] = [];
  if (resultType === 'scalar' || resultType === 'string') {
    const [at, value] = result as [number, string];
    samples.push({ metric: {}, value: parseNumber(value), time: at });
  } else {
    for (const raw of result as RawSeries[]) samples.push(...toSamples(raw));
  }
  return answer(body, started, samples, samples.length, samples.length);
}

function toSamples(raw: RawSeries): Sample[] {
  if (raw.value)
    return [{ metric: raw.metric, value: parseNumber(raw.value[1]), time: raw.value[0] }];
  if (raw.values) {
    return raw.values.map(([time, value]) => ({
      metric: raw.metric,
      value: parseNumber(value),
      time,
    }));
  }
  // A native histogram has no single value; its count is the one figure that fits a table cell.
  if (raw.histogram) {
    return [{ metric: raw.metric, value: Number(raw.histogram[1].count), time: raw.histogram[0] }];
  }
  return [];
}

/** A query over a grid. Values that cannot be drawn (NaN, infinities) become gaps. */
export async function queryRange(
  expr: string,
  grid: Grid,
  signal: AbortSignal,
): Promise<Answer<Row[]>> {
  const started = performance.now();
  const params = {
    query: expr,
    start: String(grid.start),
    end: String(grid.end),
    step: String(grid.step),
    stats: 'all',
  };
  const body = await post('/api/v1/query_range', params, signal);
  const raws = (body.data as QueryData).result as RawSeries[];
  let points = 0;
  const rows = raws.map((raw) => {
    points += raw.values?.length ?? 0;
    return { metric: raw.metric, values: ontoGrid(raw.values ?? [], grid) };
  });
  return answer(body, started, rows, rows.length, points);
}

/** Puts points onto the grid, so that a missing one is a null and the line breaks there. */
export function ontoGrid(points: [number, string][], grid: Grid): (number | null)[] {
  const values: (number | null)[] = new Array(gridLength(grid)).fill(null);
  for (const [time, text] of points) {
    const at = Math.round((time - grid.start) / grid.step);
    const value = parseNumber(text);
    if (at >= 0 && at < values.length && Number.isFinite(value)) values[at] = value;
  }
  return values;
}
