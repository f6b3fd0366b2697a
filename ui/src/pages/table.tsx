/** The pages of the interface. A new page is one more row: navigation, search and routing read this. */

import type { ComponentType } from 'preact';
import type { IconName } from '../frame/icons';
import { Overview } from './overview';

export interface PageRow {
  path: string;
  title: string;
  icon: IconName;
  /** What the page answers, for the search. */
  about: string;
  /** Pages with heavy parts arrive when they are first opened. */
  load: ComponentType | (() => Promise<ComponentType>);
  lazy?: true;
  /** A page that is reached from another one; the navigation shows that one instead. */
  under?: string;
}

export const PAGES: PageRow[] = [
  {
    path: '/',
    title: 'Overview',
    icon: 'overview',
    about: 'Is anything wrong, and the host at a glance',
    load: Overview,
  },
  {
    path: '/apps',
    title: 'Apps',
    icon: 'apps',
    about: 'What runs, what it uses, and what is wrong with it',
    lazy: true,
    load: () => import('./apps').then((m) => m.Apps),
  },
  {
    path: '/app',
    title: 'App',
    icon: 'apps',
    about: 'One app over its redeploys',
    lazy: true,
    under: '/apps',
    load: () => import('./app').then((m) => m.AppPage),
  },
  {
    path: '/explore',
    title: 'Explore',
    icon: 'explore',
    about: 'Ask anything in PromQL',
    lazy: true,
    load: () => import('./explore').then((m) => m.Explore),
  },
  {
    path: '/targets',
    title: 'Targets',
    icon: 'targets',
    about: 'Which sources answer, and what is wrong with the others',
    lazy: true,
    load: () => import('./targets').then((m) => m.Targets),
  },
  {
    path: '/status',
    title: 'Status',
    icon: 'status',
    about: 'Version, storage, flags and configuration of the server',
    lazy: true,
    load: () => import('./status').then((m) => m.StatusPage),
  },
];

/** The pages that stand in the navigation. */
export const NAV = PAGES.filter((page) => page.under === undefined);
