/**
 * The state of the page, kept in the URL: path, range, refresh, server, queries.
 *
 * Nothing that a copied link should show lives anywhere else. Unknown or broken parameters fall back
 * to their defaults; a link must never fail to open.
 */

import { computed, signal } from '@preact/signals-core';
import { DEFAULT_RANGE, formatDuration, parseDuration, type Range } from './time';

export interface Route {
  path: string;
  params: URLSearchParams;
}

export const REFRESH_CHOICES = [0, 5, 15, 30, 60, 300];
export const DEFAULT_REFRESH = 15;

/** What stays when the reader moves to another page: the time and the server, not that page's own filters. */
const SHARED = ['range', 'from', 'to', 'refresh', 'server'];

export function readRange(params: URLSearchParams): Range {
  const from = Number(params.get('from') ?? Number.NaN);
  const to = Number(params.get('to') ?? Number.NaN);
  if (Number.isFinite(from) && Number.isFinite(to) && to > from && from >= 0) {
    return { kind: 'fixed', from, to };
  }
  const seconds = parseDuration(params.get('range') ?? '');
  return seconds === null ? DEFAULT_RANGE : { kind: 'last', seconds };
}

export function writeRange(params: URLSearchParams, range: Range): URLSearchParams {
  const next = new URLSearchParams(params);
  for (const key of ['range', 'from', 'to']) next.delete(key);
  if (range.kind === 'fixed') {
    next.set('from', String(Math.round(range.from)));
    next.set('to', String(Math.round(range.to)));
  } else if (range.seconds !== (DEFAULT_RANGE as { seconds: number }).seconds) {
    next.set('range', formatDuration(range.seconds));
  }
  return next;
}

export function readRefresh(params: URLSearchParams): number {
  const text = params.get('refresh');
  if (text === null) return DEFAULT_REFRESH;
  if (text === 'off') return 0;
  return parseDuration(text) ?? DEFAULT_REFRESH;
}

export function writeRefresh(params: URLSearchParams, seconds: number): URLSearchParams {
  const next = new URLSearchParams(params);
  next.delete('refresh');
  if (seconds !== DEFAULT_REFRESH)
    next.set('refresh', seconds === 0 ? 'off' : formatDuration(seconds));
  return next;
}

/** The address of another page with the shared part of the state. */
export function pageHref(
  path: string,
  params: URLSearchParams,
  extra: [string, string][] = [],
): string {
  const next = new URLSearchParams();
  for (const key of SHARED) {
    const value = params.get(key);
    if (value !== null) next.set(key, value);
  }
  for (const [key, value] of extra) next.append(key, value);
  return href(path, next);
}

export function href(path: string, params: URLSearchParams): string {
  const query = params.toString();
  return query ? `${path}?${query}` : path;
}

function current(): Route {
  if (typeof location === 'undefined') return { path: '/', params: new URLSearchParams() };
  return { path: location.pathname, params: new URLSearchParams(location.search) };
}

export const route = signal<Route>(current());

export const range = computed(() => readRange(route.value.params));
/** Changes only when the range does, not with every other parameter. */
export const rangeKey = computed(() => JSON.stringify(range.value));
export const refresh = computed(() => readRefresh(route.value.params));
export const server = computed(() => route.value.params.get('server') ?? '');

if (typeof window !== 'undefined') {
  window.addEventListener('popstate', () => {
    route.value = current();
  });
}

/** Opens an address of this page. The same address again changes nothing, so that history stays clean. */
export function go(to: string, how: 'push' | 'replace' = 'push', zoom = 0): void {
  if (to === location.pathname + location.search) return;
  if (how === 'push') history.pushState({ zoom }, '', to);
  else history.replaceState(history.state, '', to);
  const before = route.peek().path;
  route.value = current();
  if (route.peek().path !== before) window.scrollTo(0, 0);
}

export function setParams(
  params: URLSearchParams,
  how: 'push' | 'replace' = 'push',
  zoom = 0,
): void {
  go(href(route.peek().path, params), how, zoom);
}

export function setRange(next: Range): void {
  setParams(writeRange(route.peek().params, next));
}

function zoomDepth(): number {
  const state: unknown = history.state;
  return typeof state === 'object' && state !== null && 'zoom' in state
    ? Number(state.zoom) || 0
    : 0;
}

/** A drag over a chart: the range of the whole page. */
export function zoomTo(from: number, to: number): void {
  const next = writeRange(route.peek().params, { kind: 'fixed', from, to });
  setParams(next, 'push', zoomDepth() + 1);
}

/** A double click: back over the last zoom, or out of a fixed range that came with the link. */
export function zoomBack(): void {
  if (zoomDepth() > 0) history.back();
  else if (range.peek().kind === 'fixed') setRange(DEFAULT_RANGE);
}
