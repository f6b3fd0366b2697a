/**
 * The charts of an app: all its containers summed, each on its own, or one alone. Series are chosen by
 * `app`, which a redeploy does not change, so a line goes on over deploys.
 */

import { tintOf } from '../colours';
import type { PanelSpec, QuerySpec } from '../panel';

export interface Scope {
  app: string;
  /** One of its containers, by name. */
  container: string | null;
  /** A line a container instead of their sum. */
  each: boolean;
}

const quote = (text: string): string => JSON.stringify(text);

export function matchersOf({ app, container }: Scope): string {
  const one = container === null ? '' : `,name=${quote(container)}`;
  return `$containers,app=${quote(app)}${one}`;
}

export function appPanels(scope: Scope): PanelSpec[] {
  const at = `{${matchersOf(scope)}}`;
  const by = scope.each ? 'name' : 'app';
  const rate = (metric: string): string => `sum by (${by}) (rate(${metric}${at}[$rate]))`;
  const value = (metric: string): string => `sum by (${by}) (${metric}${at})`;
  const named = (words: string): string => {
    if (!scope.each) return words;
    return words === '' ? '{{name}}' : `{{name}} ${words}`;
  };
  // Alone on its chart, the sum has the colour that the app has everywhere.
  const own: Partial<QuerySpec> = scope.each ? {} : { tint: tintOf(scope.app) };
  const chosen = `{app=${quote(scope.app)}${scope.container === null ? '' : `,name=${quote(scope.container)}`}}`;
  const rows = scope.each ? 4 : 2;
  const none = 'No container of this app has run while Masthead watched.';
  return [
    {
      id: 'app-cpu',
      title: 'CPU, cores',
      span: 6,
      look: { kind: 'line', unit: 'count' },
      rows,
      queries: [
        {
          expr: rate('container_cpu_usage_seconds_total'),
          name: named(scope.each ? '' : 'used'),
          ...own,
        },
        {
          expr: `sum(container_spec_cpu_quota${at} / container_spec_cpu_period${at} > 0)`,
          name: 'limit',
          role: 'limit',
        },
      ],
      metric: `container_cpu_usage_seconds_total${chosen}`,
      absent: none,
    },
    {
      id: 'app-memory',
      title: 'Memory, working set',
      span: 6,
      look: { kind: 'line', unit: 'bytes' },
      rows,
      queries: [
        {
          expr: value('container_memory_working_set_bytes'),
          name: named(scope.each ? '' : 'used'),
          ...own,
        },
        {
          expr: `sum(container_spec_memory_limit_bytes${at} > 0)`,
          name: 'limit',
          role: 'limit',
        },
      ],
      metric: `container_memory_working_set_bytes${chosen}`,
      absent: none,
    },
    {
      id: 'app-network',
      title: 'Network: in up, out down',
      span: 4,
      look: { kind: 'line', unit: 'bits/s', mirrored: true },
      rows,
      queries: [
        { expr: `8 * ${rate('container_network_receive_bytes_total')}`, name: named('in'), ...own },
        {
          expr: `8 * ${rate('container_network_transmit_bytes_total')}`,
          name: named('out'),
          below: true,
        },
      ],
      metric: `container_network_receive_bytes_total${chosen}`,
      absent: 'It has no network of its own: it uses that of the host, or none.',
    },
    {
      id: 'app-io',
      title: 'Disk I/O: read up, written down',
      span: 4,
      look: { kind: 'line', unit: 'bytes/s', mirrored: true },
      rows,
      queries: [
        { expr: rate('container_fs_reads_bytes_total'), name: named('read'), ...own },
        { expr: rate('container_fs_writes_bytes_total'), name: named('written'), below: true },
      ],
      metric: `container_fs_reads_bytes_total${chosen}`,
      absent: 'It has not touched a disk: the kernel counts nothing for it yet.',
    },
    {
      id: 'app-throttling',
      title: 'Throttled, of its CPU periods',
      span: 4,
      look: { kind: 'line', unit: 'percent' },
      rows,
      queries: [
        {
          expr: `100 * ${rate('container_cpu_cfs_throttled_periods_total')} / ${rate('container_cpu_cfs_periods_total')}`,
          name: named(scope.each ? '' : 'throttled'),
          ...own,
        },
      ],
      metric: `container_cpu_cfs_periods_total${chosen}`,
      absent: 'It has no CPU limit, so nothing throttles it.',
    },
    {
      id: 'app-processes',
      title: 'Processes and threads',
      span: 6,
      look: { kind: 'line', unit: 'count' },
      rows,
      queries: [
        { expr: value('container_processes'), name: named('processes'), ...own },
        { expr: value('container_threads'), name: named('threads') },
      ],
      metric: `container_processes${chosen}`,
      absent: none,
    },
    {
      id: 'app-restarts',
      title: 'Containers running, and restarts',
      span: 6,
      look: { kind: 'line', unit: 'count' },
      rows,
      queries: [
        {
          expr: `count by (${by}) (masthead_container_state{${matchersOf(scope)},state="running"})`,
          name: named('running'),
          ...own,
        },
        { expr: value('masthead_container_restarts_total'), name: named('restarts') },
      ],
      metric: `masthead_container_state${chosen}`,
      absent: none,
    },
  ];
}
