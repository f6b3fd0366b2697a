/** What the page knows of the server itself: since when it runs, and which hosts it measures. */

import { computed, signal } from '@preact/signals-core';
import { get, type Labels, now, query, type Sample } from './api';
import { DEFAULT_INTERVAL } from './time';
import { server } from './url';

/** Start of the server in seconds since the epoch; null until it is known. */
export const startTime = signal<number | null>(null);
export const hosts = signal<Sample[]>([]);
/** Whether they have been asked for; until then that there are none says nothing. */
export const hostsKnown = signal(false);
/** Seconds between two collections of the server's own sources. */
export const interval = signal(DEFAULT_INTERVAL);
/** Name of the machine that the server itself runs on; empty until it is known. */
export const hostname = signal('');

/** What a host is named by in the URL: its `instance`, and behind an @ the registered server that it is on. */
export function keyOf(labels: Labels): string {
  const instance = labels.instance ?? '';
  return labels.server ? `${instance}@${labels.server}` : instance;
}

/** The `instance` and the `server` of a key; a host that is on no registered server has no label `server`. */
export function ofKey(key: string): [instance: string, server: string] {
  const at = key.lastIndexOf('@');
  return at < 0 ? [key, ''] : [key.slice(0, at), key.slice(at + 1)];
}

/** What people call a host: the registered name, of a swarm with the node's, else that of the machine. */
export function nameOf(labels: Labels): string {
  if (labels.server && labels.node) return `${labels.server} / ${labels.node}`;
  return labels.server || labels.nodename || labels.instance || '';
}

/**
 * The host the page shows: the one that the URL names, else the first. Null for one on a registered server that is not
 * heard of just now: what another machine measures is not shown in its place.
 */
export const host = computed(() => {
  const named = hosts.value.find((h) => keyOf(h.metric) === server.value);
  if (named === undefined && ofKey(server.value)[1] !== '') return null;
  return named ?? hosts.value[0] ?? null;
});

/** What the page calls the host that it shows. */
export const shownName = computed(() => {
  if (host.value !== null) return nameOf(host.value.metric);
  return ofKey(server.value)[1];
});

/**
 * The key of the host that queries are asked of: empty while there is this machine alone, so that the first
 * questions need not wait for its name.
 */
export const instance = computed(() => {
  const only = hosts.value.length < 2 && !hosts.value[0]?.metric.server;
  if (only && server.value === '') return '';
  return host.value === null ? server.value : keyOf(host.value.metric);
});

/** Whether the page shows the machine that the server runs on, whose containers it knows by itself. */
export const isLocal = computed(
  () =>
    (host.value === null && ofKey(server.value)[1] === '') ||
    (host.value !== null &&
      !host.value.metric.server &&
      (hostname.value === '' || host.value.metric.nodename === hostname.value)),
);

interface RuntimeInfo {
  startTime?: string;
  collectionIntervalMs?: number;
  hostname?: string;
}

let asked: Promise<void> | null = null;

/** Asks the server about itself, once; whoever waits for it does not ask again. */
export function loadServer(): Promise<void> {
  asked ??= askServer();
  return asked;
}

async function askServer(): Promise<void> {
  const { signal } = new AbortController();
  const about = await get<RuntimeInfo>('/api/v1/status/runtimeinfo', [], signal).catch(() => null);
  const started = Date.parse(about?.startTime ?? '');
  if (!Number.isNaN(started)) startTime.value = started / 1000;
  hostname.value = about?.hostname ?? '';
  const every = (about?.collectionIntervalMs ?? 0) / 1000;
  if (every >= 1) interval.value = every;
}

export async function loadHosts(signal: AbortSignal): Promise<void> {
  const found = await query('node_uname_info{job="node-exporter"}', now(), signal);
  // What is on no registered server comes first: this machine, which is shown unless another is asked for.
  const order = ({ metric }: Sample) => `${metric.server ?? ''}\n${metric.instance ?? ''}`;
  hosts.value = found.data.sort((a, b) => order(a).localeCompare(order(b)));
  hostsKnown.value = true;
}

/** Seconds until charts have points: a rate needs two collections, the first being at the start. */
export function firstPointsIn(at: number): number {
  if (startTime.value === null) return 0;
  return Math.max(0, Math.ceil(startTime.value + interval.value + 2 - at));
}

/** Whether the server is so new that missing points are no fault. */
export function isYoung(): boolean {
  const started = startTime.peek();
  return started !== null && now() < started + 2.5 * interval.peek();
}
