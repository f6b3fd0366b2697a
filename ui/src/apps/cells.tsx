/** The cells that tables of apps and of containers share. */

import type { Engine } from '../containers';
import { format, formatOf } from '../units';
import { href, pageHref, route } from '../url';
import type { Level } from './rows';

export function appHref(app: string, container?: string): string {
  const extra: [string, string][] = [['name', app]];
  if (container !== undefined) extra.push(['container', container]);
  return pageHref('/app', route.value.params, extra);
}

export function State({ state, level }: { state: string; level: Level }) {
  return (
    <span class={`app-state ${level}`}>
      <i class="state-dot" aria-hidden="true" />
      {state}
    </span>
  );
}

/** The age of a thing in a narrow column: "27 min", "36 h", "8 d". */
export function age(seconds: number): string {
  const units = [
    ['d', 86_400],
    ['h', 3600],
    ['min', 60],
  ] as const;
  for (const [unit, size] of units) {
    if (seconds >= size * 2) return `${Math.floor(seconds / size)} ${unit}`;
  }
  return `${Math.max(0, Math.round(seconds))} s`;
}

/** Cores as exact as they matter: 0.003, 0.12, 3.4. */
export function cores(value: number | null): string {
  if (value === null) return '–';
  if (value < 0.0005) return '0';
  if (value < 0.0995) return value.toFixed(3);
  return value >= 99.95 ? value.toFixed(0) : value.toFixed(value >= 9.995 ? 1 : 2);
}

/** From here on a limit is near. */
const NEAR = 0.9;

export function Memory({ used, limit }: { used: number | null; limit: number | null }) {
  if (used === null) return <>–</>;
  if (!limit) return <span>{format(used, 'bytes')}</span>;
  const share = Math.min(1, used / limit);
  return (
    <>
      <span>{formatOf(used, limit, 'bytes')}</span>
      <span class={`meter ${share > NEAR ? 'warn' : ''}`} aria-hidden="true">
        <i class="meter-fill" style={{ width: `${share * 100}%` }} />
      </span>
    </>
  );
}

/** Two directions in one cell, the first above: in and out, read and written. */
export function Pair({
  first,
  second,
  bits,
}: {
  first: number | null;
  second: number | null;
  bits?: boolean;
}) {
  if (first === null && second === null) return <>–</>;
  const show = (value: number | null): string =>
    value !== null && value < 1
      ? '0'
      : bits
        ? format(value === null ? null : value * 8, 'bits/s')
        : format(value, 'bytes/s');
  return (
    <>
      <span>{show(first)}</span>
      <span>{show(second)}</span>
    </>
  );
}

/** Why there are no containers to show, and what to do about it. */
export function EngineNote({ engine }: { engine: Engine }) {
  if (engine.state === 'connected') return null;
  const away = engine.state === 'away';
  return (
    <div class={`note ${away ? 'warn' : ''} engine`} role="status">
      <b>{away ? 'Docker does not answer.' : 'No containers are watched.'}</b>{' '}
      {engine.message ??
        (away
          ? 'Is the Docker Engine running, and may Masthead read its socket? Masthead keeps trying.'
          : 'Docker was not found on this machine, or watching it is switched off in masthead.yml.')}
    </div>
  );
}

export function NoContainers() {
  return (
    <div class="void empty">
      <p>
        <b>No containers yet.</b> Start one and it appears here within a few seconds:
      </p>
      <code>docker run -d --name web nginx</code>
    </div>
  );
}

/** The address of this page with other parameters of its own. */
export function here(change: (params: URLSearchParams) => void): string {
  const params = new URLSearchParams(route.value.params);
  change(params);
  return href(route.value.path, params);
}
