/** Search over pages and metrics. `/` opens it from anywhere that is not a text field. */

import { type Signal, signal, useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { get, isAbort } from '../api';
import { PAGES } from '../pages/table';
import { go, pageHref, route } from '../url';
import { Icon, type IconName } from './icons';

interface Hit {
  icon: IconName;
  title: string;
  about: string;
  href: string;
}

const MOST_HITS = 30;
const open = signal(false);

/** Given as a spread: the checkers take an input of this role for one with a `<datalist>`. */
const COMBOBOX: Record<string, string> = {
  role: 'combobox',
  'aria-expanded': 'true',
  'aria-controls': 'search-hits',
};

export function openSearch(): void {
  open.value = true;
}

/** Text fields keep their slash, also those inside of the editor's shadow root. */
function typing(event: KeyboardEvent): boolean {
  const target = event.composedPath()[0];
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
}

export function Search() {
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey || typing(event))
        return;
      event.preventDefault();
      openSearch();
    };
    document.addEventListener('keydown', onKey);
    return () => document.removeEventListener('keydown', onKey);
  }, []);
  return open.value ? <SearchBox /> : null;
}

/** Names that hold all the words, those that begin with the first word before the others. */
export function pick(names: string[], text: string, most: number): string[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const first = words[0] ?? '';
  const found = names.filter((name) => words.every((word) => name.toLowerCase().includes(word)));
  return found
    .sort((a, b) => rank(a, first) - rank(b, first) || a.length - b.length)
    .slice(0, most);
}

function rank(name: string, word: string): number {
  return name.toLowerCase().startsWith(word) ? 0 : 1;
}

function hits(text: string, metrics: string[]): Hit[] {
  const params = route.peek().params;
  const words = text.toLowerCase().trim();
  const pages = PAGES.filter((p) => `${p.title} ${p.about}`.toLowerCase().includes(words)).map(
    (p): Hit => ({ icon: p.icon, title: p.title, about: p.about, href: pageHref(p.path, params) }),
  );
  if (words === '') return pages;
  const names = pick(metrics, words, MOST_HITS).map(
    (name): Hit => ({
      icon: 'explore',
      title: name,
      about: 'metric',
      href: pageHref('/explore', params, [['q', name]]),
    }),
  );
  return [...pages, ...names];
}

/** The names of all metrics, held only while the box is open: a server may have many thousand. */
function useMetrics(): Signal<string[]> {
  const metrics = useSignal<string[]>([]);
  useEffect(() => {
    const controller = new AbortController();
    get<string[]>('/api/v1/label/__name__/values', [], controller.signal).then(
      (names) => {
        metrics.value = names;
      },
      (error: unknown) => {
        // Without the names the pages can still be found.
        if (!isAbort(error)) metrics.value = [];
      },
    );
    return () => controller.abort();
  }, [metrics]);
  return metrics;
}

function SearchBox() {
  const dialog = useRef<HTMLDialogElement>(null);
  const text = useSignal('');
  const at = useSignal(0);
  const metrics = useMetrics();
  useEffect(() => dialog.current?.showModal(), []);
  const found = hits(text.value, metrics.value);
  const close = (): void => {
    open.value = false;
  };
  const onKey = (event: KeyboardEvent): void => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (by !== undefined) at.value = Math.max(0, Math.min(found.length - 1, at.value + by));
    else if (event.key === 'Enter' && found[at.value]) {
      close();
      go(found[at.value]?.href ?? '/');
    } else return;
    event.preventDefault();
  };
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: a click beside the box closes it; Escape does it by itself
    <dialog
      class="search"
      ref={dialog}
      aria-label="Search"
      onClose={close}
      onClick={(e) => e.target === dialog.current && close()}
    >
      <input
        type="text"
        {...COMBOBOX}
        aria-label="Search pages and metrics"
        aria-activedescendant={found.length > 0 ? `hit-${at.value}` : undefined}
        placeholder="Pages and metrics"
        autocomplete="off"
        spellcheck={false}
        onInput={(event) => {
          text.value = event.currentTarget.value;
          at.value = 0;
        }}
        onKeyDown={onKey}
      />
      <div id="search-hits" role="listbox" aria-label="Found">
        {found.map((hit, i) => (
          <a
            key={hit.href}
            id={`hit-${i}`}
            role="option"
            aria-selected={i === at.value}
            tabIndex={-1}
            href={hit.href}
            onClick={close}
          >
            <Icon name={hit.icon} />
            <span>{hit.title}</span>
            <span class="quiet">{hit.about}</span>
          </a>
        ))}
        {found.length === 0 && <p class="quiet">Nothing of this name.</p>}
      </div>
    </dialog>
  );
}
