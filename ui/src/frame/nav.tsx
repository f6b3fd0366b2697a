/** The navigation: on the left, or at the bottom of a phone. */

import { PAGES } from '../pages/table';
import { pageHref, route } from '../url';
import { Icon } from './icons';

export function Nav() {
  const { path, params } = route.value;
  return (
    <nav class="nav" aria-label="Pages">
      <a class="brand" href={pageHref('/', params)} aria-label="Masthead, to the Overview">
        <Icon name="brand" />
      </a>
      {PAGES.map((page) => (
        <a
          key={page.path}
          class="page"
          href={pageHref(page.path, params)}
          aria-current={page.path === path ? 'page' : undefined}
        >
          <Icon name={page.icon} />
          <span>{page.title}</span>
        </a>
      ))}
    </nav>
  );
}
