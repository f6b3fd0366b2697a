/** The navigation: on the left, or at the bottom of a phone. */

import { NAV, PAGES } from '../pages/table';
import { pageHref, route } from '../url';
import { Icon } from './icons';

export function Nav() {
  const { path, params } = route.value;
  const under = PAGES.find((page) => page.path === path)?.under ?? path;
  return (
    <nav class="nav" aria-label="Pages">
      <a class="brand" href={pageHref('/', params)} aria-label="Masthead, to the Overview">
        <Icon name="brand" />
      </a>
      {NAV.map((page) => (
        <a
          key={page.path}
          class="page"
          href={pageHref(page.path, params)}
          aria-current={page.path === under ? 'page' : undefined}
        >
          <Icon name={page.icon} />
          <span>{page.title}</span>
        </a>
      ))}
    </nav>
  );
}
