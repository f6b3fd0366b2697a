/** Hosts side by side: this machine, and the registered servers with their state. */

import { signal } from '@preact/signals-core';
import type { Sample } from './api';
import { keyOf, nameOf } from './server';

/** What is said of a registered server. */
export interface Registered {
  name: string;
  address: string;
  runtime: string | null;
  state: 'connecting' | 'up' | 'down';
  reason: string | null;
  /** Seconds since the epoch. */
  since: number;
}

export interface ServerRow {
  /** The host's key; empty while nothing is known of a host there. */
  key: string;
  name: string;
  state: Registered['state'];
  /** Why it is out of reach, and since when. */
  reason: string;
  since: number;
}

/**
 * One row a host, this machine first, and one for each registered server of which there are no figures. `silent` are the
 * nodes of a server's swarm that its Prometheus does not reach.
 */
export function rowsOf(
  hosts: Sample[],
  registered: Registered[],
  silent: Sample[] = [],
): ServerRow[] {
  if (registered.length === 0 && hosts.length < 2) return [];
  const known = new Map(registered.map((server) => [server.name, server]));
  const rows = hosts.map(({ metric }): ServerRow => {
    const server = known.get(metric.server ?? '');
    return {
      key: keyOf(metric),
      name: nameOf(metric),
      state: server?.state ?? 'up',
      reason: server?.reason ?? '',
      since: server?.since ?? 0,
    };
  });
  const shown = new Set(hosts.map(({ metric }) => metric.server ?? ''));
  for (const { name, state, reason, since } of registered) {
    if (!shown.has(name)) rows.push({ key: '', name, state, reason: reason ?? '', since });
  }
  const heard = new Set(hosts.map(({ metric }) => keyOf(metric)));
  for (const { metric } of silent) {
    if (known.get(metric.server ?? '')?.state !== 'up' || heard.has(keyOf(metric))) continue;
    const reason = 'the Prometheus of its swarm does not reach its node_exporter';
    rows.push({ key: keyOf(metric), name: nameOf(metric), state: 'down', reason, since: 0 });
  }
  const local = hosts.filter(({ metric }) => !metric.server).length;
  const rest = rows.slice(local).sort((a, b) => a.name.localeCompare(b.name));
  return [...rows.slice(0, local), ...rest];
}

const KEY = 'masthead.servers';

function stored(): number {
  // Storage may be forbidden; the page works without.
  try {
    return Math.min(100, Math.max(0, Number(localStorage.getItem(KEY)) || 0));
  } catch {
    return 0;
  }
}

/** As many rows as there were at the last visit: their place is kept, so that nothing moves when they come. */
export const expectedRows = signal(typeof localStorage === 'undefined' ? 0 : stored());

export function rememberRows(count: number): void {
  if (count === expectedRows.peek()) return;
  expectedRows.value = count;
  try {
    if (count > 0) localStorage.setItem(KEY, String(count));
    else localStorage.removeItem(KEY);
  } catch {
    // The next visit moves a little.
  }
}
