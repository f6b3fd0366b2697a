/** Light or dark: by the system's wish unless the reader chose, and the choice is remembered. */

import { computed, effect, signal } from '@preact/signals-core';
import type { Shade } from './colours';

export type Theme = 'system' | Shade;

const KEY = 'masthead.theme';
export const THEMES: Theme[] = ['system', 'light', 'dark'];

function stored(): Theme {
  // Storage may be forbidden; the page works without.
  try {
    const value = localStorage.getItem(KEY) as Theme | null;
    return value !== null && THEMES.includes(value) ? value : 'system';
  } catch {
    return 'system';
  }
}

export const theme = signal<Theme>(stored());
const systemDark = signal(matchMedia('(prefers-color-scheme: dark)').matches);

/** What is shown now; charts redraw when it changes. */
export const shade = computed<Shade>(() => {
  if (theme.value !== 'system') return theme.value;
  return systemDark.value ? 'dark' : 'light';
});

export function startTheme(): void {
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', (event) => {
    systemDark.value = event.matches;
  });
  effect(() => {
    document.documentElement.dataset.theme = shade.value;
  });
}

export function setTheme(next: Theme): void {
  theme.value = next;
  try {
    localStorage.setItem(KEY, next);
  } catch {
    // The choice holds until the page is closed.
  }
}
