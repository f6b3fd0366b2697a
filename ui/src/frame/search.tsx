/** Search over pages, apps, containers, servers and metrics. `/` opens it from anywhere that is not a text field. */

import { type Signal, useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { get, isAbort, type Sample } from '../api';
import { appHref } from '../apps/cells';
import { type Container, loadInventory } from '../containers';
import { NAV } from '../pages/table';
import { hosts, keyOf, nameOf } from '../server';
import { go, href, pageHref, route } from '../url';
import { Icon, type IconName } from './icons';
import { searching } from './topbar';

interface Hit {
  icon: IconName;
  title: string;
  about: string;
  href: string;
}

const MOST_HITS = 30;

/** Given as a spread: the checkers take an input of this role for one with a `<datalist>`. */
const COMBOBOX: Record<string, string> = {
  role: 'combobox',
  'aria-expanded': 'true',
  'aria-controls': 'search-hits',
};

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
      searching.value = true;
    };
    document.addEventListener('keydown', onKey);
    return () => document.removeEventListener('keydown', onKey);
  }, []);
  return searching.value ? <SearchBox /> : null;
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

/** What can be found besides the pages. */
export interface Known {
  metrics: string[];
  containers: Container[];
  hosts: Sample[];
}

/** Each kind has so many places, so that a thousand metrics do not hide the one app that is meant. */
const MOST_APPS = 8;
const MOST_CONTAINERS = 6;

export function hits(text: string, known: Known): Hit[] {
  const params = route.peek().params;
  const words = text.toLowerCase().trim();
  const pages = NAV.filter((p) => `${p.title} ${p.about}`.toLowerCase().includes(words)).map(
    (p): Hit => ({ icon: p.icon, title: p.title, about: p.about, href: pageHref(p.path, params) }),
  );
  if (words === '') return pages;
  const apps = pick([...new Set(known.containers.map((c) => c.app))], words, MOST_APPS);
  // The only container of an app that has its name is found as the app.
  const single = known.containers.filter((c) => c.name !== c.app);
  const containers = pick([...new Set(single.map((c) => c.name))], words, MOST_CONTAINERS);
  const appOf = new Map(known.containers.map((c) => [c.name, c.app]));
  const servers = known.hosts.filter((h) =>
    `${h.metric.server ?? ''} ${h.metric.nodename} ${h.metric.instance}`
      .toLowerCase()
      .includes(words),
  );
  const metrics = pick(known.metrics, words, MOST_HITS);
  return [
    ...apps.map((name): Hit => ({ icon: 'apps', title: name, about: 'app', href: appHref(name) })),
    ...pages,
    ...containers.map(
      (name): Hit => ({
        icon: 'container',
        title: name,
        about: 'container',
        href: appHref(appOf.get(name) ?? name, name),
      }),
    ),
    ...servers.map(({ metric }): Hit => {
      const next = new URLSearchParams(params);
      next.set('server', keyOf(metric));
      return {
        icon: 'status',
        title: nameOf(metric),
        about: 'server',
        href: href('/', next),
      };
    }),
    ...metrics.map(
      (name): Hit => ({
        icon: 'explore',
        title: name,
        about: 'metric',
        href: pageHref('/explore', params, [['q', name]]),
      }),
    ),
  ];
}

/** The names of everything, asked for once and held only while the box is open: there may be many thousand. */
function useKnown(): Signal<Known> {
  const known = useSignal<Known>({ metrics: [], containers: [], hosts: hosts.peek() });
  useEffect(() => {
    const controller = new AbortController();
    const { signal } = controller;
    const take = (part: Partial<Known>): void => {
      known.value = { ...known.peek(), ...part };
    };
    const without = (error: unknown): void => {
      // What did come can still be found.
      if (!isAbort(error)) take({});
    };
    get<string[]>('/api/v1/label/__name__/values', [], signal).then(
      (metrics) => take({ metrics }),
      without,
    );
    loadInventory(signal).then(({ containers }) => take({ containers }), without);
    return () => controller.abort();
  }, [known]);
  return known;
}

function SearchBox() {
  const dialog = useRef<HTMLDialogElement>(null);
  const text = useSignal('');
  const at = useSignal(0);
  const known = useKnown();
  useEffect(() => dialog.current?.showModal(), []);
  const found = hits(text.value, known.value);
  const close = (): void => {
    searching.value = false;
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
        aria-label="Search apps, containers, servers, metrics and pages"
        aria-activedescendant={found.length > 0 ? `hit-${at.value}` : undefined}
        placeholder="Apps, containers, servers, metrics, pages"
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
            key={`${hit.about} ${hit.href}`}
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
