/** Plain answers of the API that a page shows as they are, kept current with the page. */

import { type Signal, useSignal } from '@preact/signals';
import { useMemo, useRef } from 'preact/hooks';
import { type ApiError, isAbort } from './api';
import { type Task, useTask } from './live';
import { asApiError } from './panel';

export interface Loaded<T> {
  data: T | null;
  error: ApiError | null;
}

/**
 * Runs `load` with every refresh, and where it is `ranged` when the range changes. The last good
 * answer stays while one fails. `load` must not change.
 */
export function useLoaded<T>(
  load: (signal: AbortSignal) => Promise<T>,
  ranged = false,
): Signal<Loaded<T>> {
  const state = useSignal<Loaded<T>>({ data: null, error: null });
  const nowhere = useRef<HTMLElement>(null);
  const task = useMemo<Task>(
    () => ({
      visible: true,
      rank: 0,
      ranged,
      async run(signal) {
        try {
          state.value = { data: await load(signal), error: null };
        } catch (error) {
          if (!isAbort(error)) state.value = { data: state.peek().data, error: asApiError(error) };
        }
      },
    }),
    [state, load, ranged],
  );
  useTask(task, nowhere);
  return state;
}
