/** The top bar: which server, which time, how often, and the theme. */

import { signal } from '@preact/signals';
import { host, hosts, keyOf, nameOf, shownName } from '../server';
import { setTheme, THEMES, theme } from '../theme';
import { formatDuration } from '../time';
import { REFRESH_CHOICES, refresh, route, server, setParams, writeRefresh } from '../url';
import { Icon } from './icons';
import { RangePicker } from './range_picker';

/** Whether the search is open. Here, because the search itself arrives later. */
export const searching = signal(false);

export function TopBar({ title }: { title: string }) {
  return (
    <header class="top">
      <ServerName title={title} />
      <button
        type="button"
        class="control search-open"
        onClick={() => (searching.value = true)}
        aria-label="Search"
        aria-keyshortcuts="/"
      >
        <Icon name="search" />
        <span class="wide">Search</span>
        <kbd class="wide">/</kbd>
      </button>
      <RangePicker />
      <RefreshChoice />
      <ThemeSwitch />
    </header>
  );
}

function ServerName({ title }: { title: string }) {
  const name = shownName.value;
  const isUnheard = host.value === null && name !== '';
  if (hosts.value.length < 2 && !isUnheard) {
    return (
      <div class="server">
        <h1>{name || 'Masthead'}</h1>
        <span class="quiet wide">{title}</span>
      </div>
    );
  }
  return (
    <div class="server">
      <select
        class="control"
        aria-label="Server"
        value={host.value ? keyOf(host.value.metric) : server.value}
        onChange={(event) => {
          const next = new URLSearchParams(route.peek().params);
          next.set('server', event.currentTarget.value);
          setParams(next);
        }}
      >
        {isUnheard && <option value={server.value}>{name}</option>}
        {hosts.value.map((h) => (
          <option key={keyOf(h.metric)} value={keyOf(h.metric)}>
            {nameOf(h.metric)}
          </option>
        ))}
      </select>
    </div>
  );
}

function RefreshChoice() {
  const chosen = refresh.value;
  const choices = REFRESH_CHOICES.includes(chosen) ? REFRESH_CHOICES : [...REFRESH_CHOICES, chosen];
  return (
    <select
      class="control refresh"
      aria-label="Refresh"
      title="How often the page asks for new data"
      value={String(chosen)}
      onChange={(event) =>
        setParams(writeRefresh(route.peek().params, Number(event.currentTarget.value)), 'replace')
      }
    >
      {choices.map((seconds) => (
        <option key={seconds} value={String(seconds)}>
          {seconds === 0 ? 'Paused' : `↻ ${formatDuration(seconds)}`}
        </option>
      ))}
    </select>
  );
}

const WORDS = { system: 'by the system', light: 'light', dark: 'dark' };

function ThemeSwitch() {
  const now = theme.value;
  const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length] ?? 'system';
  const words = `Theme: ${WORDS[now]}. Switch to ${WORDS[next]}`;
  return (
    <button
      type="button"
      class="control square"
      title={words}
      aria-label={words}
      onClick={() => setTheme(next)}
    >
      <Icon name={now} />
    </button>
  );
}
