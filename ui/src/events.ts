/**
 * What happened to containers: loaded for the range of the page, and turned into the marks of its
 * charts. The list that a page shows beside them says the same in words.
 */

import { type Signal, signal, useSignal } from '@preact/signals';
import { createContext } from 'preact';
import { useMemo, useRef } from 'preact/hooks';
import { ApiError, get, now } from './api';
import type { Mark, MarkKind } from './chart/marks';
import { type Task, useTask } from './live';
import { isLocal } from './server';
import { rangeEnds } from './time';
import { range } from './url';

export type EventName =
  | 'deploy'
  | 'start'
  | 'stop'
  | 'exit'
  | 'oom_kill'
  | 'unhealthy'
  | 'healthy'
  | 'pause'
  | 'unpause'
  | 'rename';

export interface ContainerEvent {
  time: number;
  app: string;
  project: string;
  container: string;
  id: string;
  event: EventName | string;
  image?: string;
  exitCode?: number;
}

/** Answers hold the newest so many. */
const MOST = 1000;

export async function loadEvents(
  ends: { from: number; to: number },
  app: string | null,
  signal: AbortSignal,
): Promise<ContainerEvent[]> {
  if (!isLocal.peek()) return [];
  const params: [string, string][] = [
    ['start', ends.from.toFixed(3)],
    ['end', ends.to.toFixed(3)],
    ['limit', String(MOST)],
  ];
  if (app !== null) params.push(['app', app]);
  try {
    const { events } = await get<{ events: ContainerEvent[] }>(
      '/api/masthead/v1/events',
      params,
      signal,
    );
    return events;
  } catch (error) {
    // A server that keeps no events has none.
    if (error instanceof ApiError && error.kind === 'not_found') return [];
    throw error;
  }
}

const WORDS: Record<string, string> = {
  deploy: 'deployed',
  start: 'started',
  stop: 'stopped',
  oom_kill: 'OOM killed',
  pause: 'paused',
  unpause: 'went on',
  rename: 'renamed',
};

export function kindOf(event: ContainerEvent): MarkKind {
  if (event.event === 'deploy') return 'deploy';
  if (event.event === 'oom_kill' || event.event === 'unhealthy') return 'bad';
  return event.event === 'exit' && (event.exitCode ?? 0) !== 0 ? 'bad' : 'quiet';
}

/** "exited (137)", "deployed". */
export function eventWords(event: ContainerEvent): string {
  if (event.event === 'exit') return `exited (${event.exitCode ?? '?'})`;
  return WORDS[event.event] ?? event.event;
}

export function toMark(event: ContainerEvent): Mark {
  const image = event.event === 'deploy' && event.image ? `, ${event.image}` : '';
  return {
    time: event.time,
    kind: kindOf(event),
    text: `${event.container} ${eventWords(event)}${image}`,
  };
}

/** What is worth a mark where many apps share a chart: the deploys, and what went wrong. */
export function isWeighty(event: ContainerEvent): boolean {
  return kindOf(event) !== 'quiet';
}

const COUNTED: [MarkKind, string, string, (event: ContainerEvent) => boolean][] = [
  ['deploy', 'deploy', 'deploys', (e) => e.event === 'deploy'],
  ['bad', 'OOM kill', 'OOM kills', (e) => e.event === 'oom_kill'],
  ['bad', 'exit with an error', 'exits with an error', (e) => e.event === 'exit' && !!e.exitCode],
  ['bad', 'turned unhealthy', 'turned unhealthy', (e) => e.event === 'unhealthy'],
];

/** "3 deploys", "1 OOM kill": how often each weighty thing happened; what did not is left out. */
export function countEvents(events: ContainerEvent[]): { kind: MarkKind; text: string }[] {
  return COUNTED.flatMap(([kind, one, more, is]) => {
    const count = events.filter(is).length;
    return count === 0 ? [] : [{ kind, text: `${count} ${count === 1 ? one : more}` }];
  });
}

/** The marks of the charts within; none where a page provides none. */
export const MarksContext = createContext<Signal<Mark[]>>(signal([]));

/** The events of the page's range, kept current. The last good answer stays while one fails. */
export function useEvents(app: string | null): Signal<ContainerEvent[]> {
  const events = useSignal<ContainerEvent[]>([]);
  const nowhere = useRef<HTMLElement>(null);
  const task = useMemo<Task>(
    () => ({
      visible: true,
      rank: 2,
      ranged: true,
      async run(signal) {
        try {
          events.value = await loadEvents(rangeEnds(range.peek(), now()), app, signal);
        } catch {
          // An abort, or a failure that the page's other questions meet as well and say.
        }
      },
    }),
    [events, app],
  );
  useTask(task, nowhere);
  return events;
}
