/**
 * The containers of the shown host: what the Docker Engine says of each. On the machine that the
 * server runs on this comes from its own inventory; on another one from the series that its agent
 * exposes, which say less (no labels, no health).
 */

import { ApiError, get, type Labels, now, query } from './api';
import { fill, join, split } from './questions';
import { instance, isLocal } from './server';

export interface Container {
  id: string;
  name: string;
  image: string;
  app: string;
  project: string;
  state: string;
  health: string;
  exitCode: number | null;
  restarts: number;
  oomKills: number;
  /** Seconds since the epoch. */
  createdAt: number | null;
  startedAt: number | null;
  finishedAt: number | null;
  labels: Labels;
}

export interface Engine {
  state: 'connected' | 'away' | 'off';
  version?: string;
  /** Why it is away, and what to do. */
  message?: string;
}

export interface Inventory {
  engine: Engine;
  containers: Container[];
}

/** A server that watches no containers is answered for here, so that pages need not ask twice. */
const NONE: Inventory = {
  engine: { state: 'off', message: 'This server does not watch containers.' },
  containers: [],
};

export async function loadInventory(signal: AbortSignal): Promise<Inventory> {
  if (!isLocal.peek()) return remoteInventory(signal);
  try {
    return await get<Inventory>('/api/masthead/v1/containers', [], signal);
  } catch (error) {
    if (error instanceof ApiError && error.kind === 'not_found') return NONE;
    throw error;
  }
}

const PARTS = [
  'masthead_container_state{$containers}',
  'masthead_container_restarts_total{$containers}',
  'masthead_container_exit_code{$containers}',
  'container_start_time_seconds{$containers}',
];

async function remoteInventory(signal: AbortSignal): Promise<Inventory> {
  const expr = fill(join(PARTS), 15, instance.peek());
  const { data } = await query(expr, now(), signal);
  const [states = [], restarts = [], codes = [], starts = []] = split(data, PARTS.length);
  const by = (samples: typeof data): Map<string, number> =>
    new Map(samples.map((s) => [s.metric.id ?? '', s.value]));
  const [restarted, ended, started] = [by(restarts), by(codes), by(starts)];
  const containers = states.map(({ metric }): Container => {
    const id = metric.id ?? '';
    return {
      id,
      name: metric.name ?? '',
      image: metric.image ?? '',
      app: metric.app ?? metric.name ?? '',
      project: metric.project ?? '',
      state: metric.state ?? '',
      health: '',
      exitCode: ended.get(id) ?? null,
      restarts: restarted.get(id) ?? 0,
      oomKills: 0,
      createdAt: started.get(id) ?? null,
      startedAt: started.get(id) ?? null,
      finishedAt: null,
      labels: {},
    };
  });
  return { engine: { state: 'connected' }, containers };
}
