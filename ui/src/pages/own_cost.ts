/** What Masthead itself costs: the cards and charts of Status. Its series have the job `masthead`. */

import type { PanelSpec } from '../panel';
import { format } from '../units';
import type { CardSpec } from './cards';

const OWN = '{job="masthead"}';
const CPU = `sum(rate(process_cpu_seconds_total${OWN}[$rate]))`;
const MEMORY = `max(process_resident_memory_bytes${OWN})`;
const DISK = `max(masthead_tsdb_wal_bytes${OWN}) + max(masthead_tsdb_blocks_bytes${OWN})`;
const SAMPLES = `sum(rate(masthead_tsdb_samples_appended_total${OWN}[$rate]))`;
const SERIES = `max(masthead_tsdb_head_series${OWN})`;

export const OWN_CARDS: CardSpec[] = [
  {
    id: 'own-cpu',
    title: 'CPU',
    line: `100 * ${CPU}`,
    figures: { used: `100 * ${CPU}` },
    value: (f) => format(f.used?.value, 'percent'),
    detail: () => 'of one core',
  },
  {
    id: 'own-memory',
    title: 'Memory',
    line: MEMORY,
    figures: { used: MEMORY, files: `max(process_open_fds${OWN})` },
    value: (f) => format(f.used?.value, 'bytes'),
    detail: (f) => (f.files ? `resident, ${f.files.value} files open` : 'resident'),
  },
  {
    id: 'own-disk',
    title: 'Disk',
    line: DISK,
    figures: {
      used: DISK,
      log: `max(masthead_tsdb_wal_bytes${OWN})`,
      blocks: `max(masthead_tsdb_blocks${OWN})`,
    },
    value: (f) => format(f.used?.value, 'bytes'),
    detail: (f) => `${format(f.log?.value, 'bytes')} log, ${f.blocks?.value ?? 0} blocks`,
  },
  {
    id: 'own-samples',
    title: 'Samples',
    line: SAMPLES,
    figures: { rate: SAMPLES, series: SERIES },
    value: (f) => format(f.rate?.value, 'count/s'),
    detail: (f) => `${format(f.series?.value, 'count')} series in the head`,
  },
];

const absent = 'Masthead has not collected its own figures yet.';

export const OWN_PANELS: PanelSpec[] = [
  {
    id: 'own-cpu',
    title: 'CPU, of one core',
    span: 4,
    look: { kind: 'line', unit: 'percent' },
    rows: 1,
    queries: [{ expr: `100 * ${CPU}`, name: 'masthead' }],
    metric: 'process_cpu_seconds_total',
    absent,
  },
  {
    id: 'own-memory',
    title: 'Resident memory',
    span: 4,
    look: { kind: 'line', unit: 'bytes' },
    rows: 1,
    queries: [{ expr: MEMORY, name: 'masthead' }],
    metric: 'process_resident_memory_bytes',
    absent,
  },
  {
    id: 'own-series',
    title: 'Series in the head',
    span: 4,
    look: { kind: 'line', unit: 'count' },
    rows: 1,
    queries: [{ expr: SERIES, name: 'series' }],
    metric: 'masthead_tsdb_head_series',
    absent,
  },
];
