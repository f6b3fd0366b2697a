/** What the page knows of the server itself: since when it runs, and which hosts it measures. */

import { computed, signal } from '@preact/signals';
import { get, now, query, type Sample } from './api';
import { SCRAPE_INTERVAL } from './time';
import { server } from './url';

/** Start of the server in seconds since the epoch; null until it is known. */
export const startTime = signal<number | null>(null);
export const hosts = signal<Sample[]>([]);

/** The host the page shows: the one that the URL names, else the first. */
export const host = computed(() => {
  const named = hosts.value.find((h) => h.metric.instance === server.value);
  return named ?? hosts.value[0] ?? null;
});

export async function loadServer(signal: AbortSignal): Promise<void> {
  const about = await get<{ startTime?: string }>('/api/v1/status/runtimeinfo', [], signal).catch(
    () => null,
  );
  const started = Date.parse(about?.startTime ?? '');
  if (!Number.isNaN(started)) startTime.value = started / 1000;
}

export async function loadHosts(signal: AbortSignal): Promise<void> {
  const found = await query('node_uname_info{job="node-exporter"}', now(), signal);
  hosts.value = found.data.sort((a, b) =>
    (a.metric.instance ?? '').localeCompare(b.metric.instance ?? ''),
  );
}

/** Seconds until charts have points: a rate needs two collections, the first being at the start. */
export function firstPointsIn(at: number): number {
  if (startTime.value === null) return 0;
  return Math.max(0, Math.ceil(startTime.value + SCRAPE_INTERVAL + 2 - at));
}

/** Whether the server is so new that missing points are no fault. */
export function isYoung(): boolean {
  const started = startTime.peek();
  return started !== null && now() < started + 2.5 * SCRAPE_INTERVAL;
}
