/** Parts of a page whose scripts arrive after the page itself. */

import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';

/** What `load` gives, null until it is there. `load` must not change. */
export function useLater<T>(load: () => Promise<T>): T | 'failed' | null {
  const part = useSignal<T | 'failed' | null>(null);
  useEffect(() => {
    load().then(
      (loaded) => {
        part.value = loaded;
      },
      () => {
        part.value = 'failed';
      },
    );
  }, [load, part]);
  return part.value;
}

/** A script that the server no longer has is one of an older version. */
export function Unloaded() {
  return (
    <p class="note bad">
      This page could not be loaded. Masthead may have been updated: reload the page.
    </p>
  );
}
