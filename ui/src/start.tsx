/** The page itself: links that stay within it, and the frame. Arrives after `main.ts` has asked the first question. */

import { render } from 'preact';
import { App } from './app';
import { loadHosts } from './server';
import { go, route } from './url';

/** Plain links are followed without loading the page anew; those with a modifier are the browser's. */
function followLinks(): void {
  document.addEventListener('click', (event) => {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element).closest('a');
    if (
      !link ||
      link.origin !== location.origin ||
      link.target ||
      link.getAttribute('href')?.startsWith('#')
    )
      return;
    if (link.pathname.startsWith('/api/')) return;
    event.preventDefault();
    go(link.pathname + link.search);
  });
}

export function start(): void {
  followLinks();
  // The Overview asks for the hosts with every refresh; elsewhere their names are wanted once, and a
  // page that fails to load says so itself.
  if (route.peek().path !== '/') loadHosts(new AbortController().signal).catch(() => undefined);
  const root = document.getElementById('app');
  if (root) render(<App />, root);
}
