/** The data of a table of apps: inventory, figures and small lines, kept current with the page. */

import { type Signal, useSignal } from '@preact/signals';
import { useMemo, useRef } from 'preact/hooks';
import { type ApiError, now } from '../api';
import { type Engine, type Inventory, loadInventory } from '../containers';
import { loadEvents } from '../events';
import { type Task, usePage, useTask } from '../live';
import { useLoaded } from '../load';
import { type AppFigures, Lines, loadFigures } from './figures';
import { type AppRow, crashes, groupApps, LATELY_SECONDS } from './rows';

export interface AppsData {
  /** Null until the first answer. */
  rows: AppRow[] | null;
  engine: Engine;
  figures: Map<string, AppFigures>;
  lines: Signal<Map<string, (number | null)[]>>;
  error: ApiError | null;
  /** To be told which apps are on the screen. */
  onShown: (apps: string[]) => void;
}

const NO_FIGURES = new Map<string, AppFigures>();
const CONNECTED: Engine = { state: 'connected' };

async function loadLoops(signal: AbortSignal): Promise<string[]> {
  const to = now();
  return crashes(await loadEvents({ from: to - LATELY_SECONDS, to }, null, signal));
}

export function useApps(): AppsData {
  const inventory = useLoaded<Inventory>(loadInventory).value;
  const figures = useLoaded(loadFigures, true).value;
  const containers = inventory.data?.containers ?? null;
  const loops = useLoaded(loadLoops).value.data;
  const rows = useMemo(
    () => (containers ? groupApps(containers, loops ?? []) : null),
    [containers, loops],
  );
  const { lines, onShown } = useLines(rows?.length ?? 0);
  return {
    rows,
    engine: inventory.data?.engine ?? CONNECTED,
    figures: figures.data ?? NO_FIGURES,
    lines,
    error: inventory.error ?? figures.error,
    onShown,
  };
}

/** How long rows must rest before their lines are asked for: scrolling past asks nothing. */
const REST_MS = 150;

function useLines(count: number): Pick<AppsData, 'lines' | 'onShown'> {
  const page = usePage();
  const lines = useSignal(new Map<string, (number | null)[]>());
  const nowhere = useRef<HTMLElement>(null);
  const want = useRef({ shown: [] as string[], count: 0 });
  want.current.count = count;
  const task = useMemo<Task>(() => {
    const asked = new Lines();
    return {
      visible: true,
      rank: 1,
      ranged: true,
      async run(signal) {
        try {
          const { shown, count: all } = want.current;
          lines.value = await asked.load(shown, all, signal);
        } catch {
          // An abort, or a failure that the figures beside the lines meet as well and say.
        }
      },
    };
  }, [lines]);
  useTask(task, nowhere);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const onShown = useMemo(
    () =>
      (apps: string[]): void => {
        const known = apps.every((app) => want.current.shown.includes(app));
        want.current.shown = apps;
        clearTimeout(timer.current);
        if (!known) timer.current = setTimeout(() => page.restart(task), REST_MS);
      },
    [page, task],
  );
  return { lines, onShown };
}
