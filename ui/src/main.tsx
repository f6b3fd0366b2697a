/** Entry: the theme, links that stay within the page, and the frame. */

import './style/base.css';
import './style/frame.css';
import './style/panels.css';
import { render } from 'preact';
import { App } from './app';
import { askFirst } from './pages/overview';
import { loadHosts, loadServer } from './server';
import { startTheme } from './theme';
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

if (route.peek().path === '/') void askFirst();
startTheme();
followLinks();
const never = new AbortController().signal;
// The Overview asks for the hosts with every refresh; elsewhere their names are wanted once, and a
// page that fails to load says so itself.
if (route.peek().path !== '/') loadHosts(never).catch(() => undefined);
const root = document.getElementById('app');
if (root) render(<App />, root);
// After the page's own questions, which matter more.
queueMicrotask(() => void loadServer(never));
