/** The frame around every page: navigation, top bar, and the page that the path names. */

import { signal } from '@preact/signals';
import type { ComponentType } from 'preact';
import { useEffect, useMemo } from 'preact/hooks';
import { Nav } from './frame/nav';
import { TopBar } from './frame/topbar';
import { Unloaded, useLater } from './later';
import { LivePage, PageContext } from './live';
import { PAGES, type PageRow } from './pages/table';
import { loadServer } from './server';
import { route } from './url';

export function App() {
  const Search = search.value;
  const row = PAGES.find((page) => page.path === route.value.path);
  return (
    <div class="app">
      <a class="skip" href="#content">
        Skip to the content
      </a>
      <Nav />
      <TopBar title={row?.title ?? 'Masthead'} />
      <main id="content" tabIndex={-1}>
        {row ? <Opened key={row.path} row={row} /> : <Unknown path={route.value.path} />}
      </main>
      {Search && <Search />}
    </div>
  );
}

/** The search, once its script is there. */
const search = signal<ComponentType | null>(null);
let settled = false;

/** What can wait for the first page's own questions and drawing, which matter more. */
function settle(): void {
  if (settled) return;
  settled = true;
  void loadServer();
  import('./frame/search').then(
    ({ Search }) => {
      search.value = Search;
    },
    // A page of an older version: the next navigation says so and asks for a reload.
    () => undefined,
  );
}

/** A page and what keeps it current, which ends with it. */
function Opened({ row }: { row: PageRow }) {
  const live = useMemo(() => new LivePage(), []);
  useEffect(() => () => live.close(), [live]);
  useEffect(() => live.opened.subscribe((opened) => opened && settle()), [live]);
  return (
    <PageContext.Provider value={live}>
      {row.lazy ? (
        <Lazy load={row.load as () => Promise<ComponentType>} />
      ) : (
        <Eager page={row.load as ComponentType} />
      )}
    </PageContext.Provider>
  );
}

function Eager({ page: Page }: { page: ComponentType }) {
  return <Page />;
}

function Lazy({ load }: { load: () => Promise<ComponentType> }) {
  const Page = useLater(load);
  if (Page === 'failed') return <Unloaded />;
  return Page ? <Page /> : <p class="quiet">Loading</p>;
}

function Unknown({ path }: { path: string }) {
  useEffect(settle, []);
  return (
    <p class="note">
      There is no page {path}. <a href="/">Go to the Overview</a>
    </p>
  );
}
