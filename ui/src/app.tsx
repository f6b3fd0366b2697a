/** The frame around every page: navigation, top bar, and the page that the path names. */

import { useSignal } from '@preact/signals';
import type { ComponentType } from 'preact';
import { useEffect, useMemo } from 'preact/hooks';
import { Nav } from './frame/nav';
import { Search } from './frame/search';
import { TopBar } from './frame/topbar';
import { LivePage, PageContext } from './live';
import { PAGES, type PageRow } from './pages/table';
import { route } from './url';

export function App() {
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
      <Search />
    </div>
  );
}

/** A page and what keeps it current, which ends with it. */
function Opened({ row }: { row: PageRow }) {
  const live = useMemo(() => new LivePage(), []);
  useEffect(() => () => live.close(), [live]);
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
  const page = useSignal<ComponentType | null>(null);
  const failed = useSignal(false);
  useEffect(() => {
    load().then(
      (loaded) => {
        page.value = loaded;
      },
      () => {
        failed.value = true;
      },
    );
  }, [load, page, failed]);
  if (failed.value) {
    return (
      <p class="note bad">
        This page could not be loaded. Masthead may have been updated: reload the page.
      </p>
    );
  }
  const Page = page.value;
  return Page ? <Page /> : <p class="quiet">Loading</p>;
}

function Unknown({ path }: { path: string }) {
  return (
    <p class="note">
      There is no page {path}. <a href="/">Go to the Overview</a>
    </p>
  );
}
