/** The charts of the Overview, one row each. `$host` and `$rate` are filled in when they are asked. */

import type { PanelSpec } from '../panel';

/** File systems that hold no one's data. */
export const REAL_FS = 'fstype!~"tmpfs|ramfs|overlay|squashfs|iso9660|nsfs|efivarfs|fuse.*"';
/** Devices that are a part of another, or none at all. */
const REAL_DISK = 'device!~"(loop|ram|zram|sr|fd).*"';
/** Interfaces whose traffic passes a physical one as well. */
export const REAL_NET = 'device!~"lo|(veth|br-|docker|ifb|dummy|tunl|sit).*"';

const pressure = (what: string, kind: 'waiting' | 'stalled'): string =>
  `100 * rate(node_pressure_${what}_${kind}_seconds_total{$host}[$rate])`;

export const PANELS: PanelSpec[] = [
  {
    id: 'cpu',
    title: 'CPU by mode',
    first: true,
    span: 6,
    look: { kind: 'stack', unit: 'percent', max: 100 },
    rows: 7,
    order: ['user', 'system', 'nice', 'iowait', 'softirq', 'irq', 'steal'],
    queries: [
      {
        expr: '100 * avg by (mode) (rate(node_cpu_seconds_total{$host,mode!="idle"}[$rate]))',
        name: '{{mode}}',
      },
    ],
    metric: 'node_cpu_seconds_total',
    absent: 'The cpu collector is off, or /proc/stat cannot be read.',
  },
  {
    id: 'memory',
    title: 'Memory',
    span: 6,
    look: { kind: 'stack', unit: 'bytes' },
    rows: 5,
    queries: [
      {
        expr:
          'node_memory_MemTotal_bytes{$host} - node_memory_MemFree_bytes{$host} - node_memory_Buffers_bytes{$host}' +
          ' - node_memory_Cached_bytes{$host} - node_memory_SReclaimable_bytes{$host}',
        name: 'used',
      },
      {
        expr: 'node_memory_Cached_bytes{$host} + node_memory_SReclaimable_bytes{$host}',
        name: 'cached',
      },
      { expr: 'node_memory_Buffers_bytes{$host}', name: 'buffers' },
      { expr: 'node_memory_MemFree_bytes{$host}', name: 'free', role: 'rest' },
      { expr: 'node_memory_MemTotal_bytes{$host}', name: 'total', role: 'limit' },
    ],
    metric: 'node_memory_MemTotal_bytes',
    absent: 'The meminfo collector is off, or /proc/meminfo cannot be read.',
  },
  {
    id: 'filesystem',
    title: 'Disk space used',
    span: 4,
    look: { kind: 'line', unit: 'percent', max: 100 },
    rows: 3,
    queries: [
      {
        expr: `100 * (1 - node_filesystem_avail_bytes{$host,${REAL_FS}} / node_filesystem_size_bytes{$host,${REAL_FS}})`,
        name: '{{mountpoint}}',
      },
    ],
    metric: 'node_filesystem_size_bytes',
    absent:
      'The filesystem collector is off, or no real file system is mounted where it looks (--path.rootfs).',
  },
  {
    id: 'disk',
    title: 'Disk I/O: read up, written down',
    span: 4,
    look: { kind: 'line', unit: 'bytes/s', mirrored: true },
    rows: 3,
    queries: [
      {
        expr: `rate(node_disk_read_bytes_total{$host,${REAL_DISK}}[$rate])`,
        name: '{{device}} read',
      },
      {
        expr: `rate(node_disk_written_bytes_total{$host,${REAL_DISK}}[$rate])`,
        name: '{{device}} written',
        below: true,
      },
    ],
    metric: 'node_disk_read_bytes_total',
    absent: 'The diskstats collector is off, or this machine has no block device.',
  },
  {
    id: 'network',
    title: 'Network: in up, out down',
    span: 4,
    look: { kind: 'line', unit: 'bits/s', mirrored: true },
    rows: 3,
    queries: [
      {
        expr: `8 * rate(node_network_receive_bytes_total{$host,${REAL_NET}}[$rate])`,
        name: '{{device}} in',
      },
      {
        expr: `8 * rate(node_network_transmit_bytes_total{$host,${REAL_NET}}[$rate])`,
        name: '{{device}} out',
        below: true,
      },
    ],
    metric: 'node_network_receive_bytes_total',
    absent: 'The netdev collector is off, or this machine has no network interface.',
  },
  {
    id: 'pressure',
    title: 'Pressure: time that tasks waited',
    span: 6,
    look: { kind: 'line', unit: 'percent' },
    rows: 5,
    queries: [
      { expr: pressure('cpu', 'waiting'), name: 'CPU, some waited' },
      { expr: pressure('memory', 'waiting'), name: 'memory, some waited' },
      { expr: pressure('memory', 'stalled'), name: 'memory, all stalled' },
      { expr: pressure('io', 'waiting'), name: 'I/O, some waited' },
      { expr: pressure('io', 'stalled'), name: 'I/O, all stalled' },
    ],
    metric: 'node_pressure_cpu_waiting_seconds_total',
    absent: 'The kernel gives no pressure figures; boot it with psi=1 to have them.',
  },
  {
    id: 'load',
    title: 'Load',
    span: 6,
    look: { kind: 'line', unit: 'count' },
    rows: 5,
    queries: [
      { expr: 'node_load1{$host}', name: '1 min' },
      { expr: 'node_load5{$host}', name: '5 min' },
      { expr: 'node_load15{$host}', name: '15 min' },
      {
        expr: 'count(count by (cpu) (node_cpu_seconds_total{$host}))',
        name: 'cores',
        role: 'limit',
      },
    ],
    metric: 'node_load1',
    absent: 'The loadavg collector is off, or /proc/loadavg cannot be read.',
  },
];
