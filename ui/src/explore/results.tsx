/** What a query gave: as a chart, as a table, and what it cost the server. */

import { useMemo } from 'preact/hooks';
import type { QueryCost, Row, Sample } from '../api';
import { Chart } from '../chart/chart';
import type { Window } from '../chart/plot';
import { type Frame, type Line, labelKey, selectorOf } from '../series';
import { clock, type Grid, zone } from '../time';
import { format, guessUnit, type Unit } from '../units';
import { shortNames } from './names';

export type Tab = 'graph' | 'table';

/** The answers of one run; each has the place of its query. */
export interface Shown {
  exprs: string[];
  window: Window;
  grid: Grid;
  rows: Row[][];
  samples: Sample[][];
}

const MOST_ROWS = 500;
const letter = (i: number): string => String.fromCharCode(65 + (i % 26));

export function Cost({ cost }: { cost: QueryCost }) {
  const parts = [
    `${cost.took_ms < 10 ? cost.took_ms.toFixed(1) : cost.took_ms.toFixed(0)} ms`,
    `${cost.series} series`,
    `${format(cost.points, 'count')} points`,
  ];
  if (cost.samples !== null) parts.push(`${format(cost.samples, 'count')} samples read`);
  return <p class="cost">{parts.join(' · ')}</p>;
}

function toFrame({ exprs, rows, grid }: Shown): Frame {
  const lines = rows.flatMap((part, i): Line[] => {
    const names = shortNames(
      part.map((row) => row.metric),
      exprs[i] ?? '',
    );
    return part.map((row, at) => ({
      key: `${i}|${labelKey(row.metric)}`,
      name: exprs.length > 1 ? `${letter(i)} ${names[at]}` : (names[at] ?? ''),
      metric: row.metric,
      values: row.values,
      role: 'value',
      sign: 1,
    }));
  });
  return { grid, lines };
}

/** One axis carries one unit, so queries of different kinds are shown as plain numbers. */
function unitOf(exprs: string[]): Unit {
  const units = new Set(exprs.map(guessUnit));
  return units.size === 1 ? ([...units][0] ?? 'count') : 'count';
}

export function Graph({ shown }: { shown: Shown }) {
  const frame = useMemo(() => toFrame(shown), [shown]);
  return (
    <Chart
      title={shown.exprs.join('; ')}
      kind="line"
      unit={unitOf(shown.exprs)}
      floating
      frame={frame}
      window={shown.window}
      height={340}
      rows={Math.min(12, Math.max(4, frame.lines.length))}
    />
  );
}

export function Table({ shown }: { shown: Shown }) {
  const all = shown.samples.flatMap((samples, i) => samples.map((sample) => ({ sample, i })));
  const many = shown.exprs.length > 1;
  return (
    <div class="results">
      <table>
        <caption class="quiet">
          {all.length > MOST_ROWS
            ? `The first ${MOST_ROWS} of ${all.length} series. Aggregate or narrow the query to see the others.`
            : `${all.length} series`}
        </caption>
        <thead>
          <tr>
            <th scope="col">Series</th>
            <th scope="col">Value</th>
          </tr>
        </thead>
        <tbody>
          {all.slice(0, MOST_ROWS).map(({ sample, i }) => (
            <tr key={`${i}|${labelKey(sample.metric)}|${sample.time}`}>
              <td>
                {many && <b>{letter(i)} </b>}
                {selectorOf(sample.metric) || shown.exprs[i]}
              </td>
              <td title={`${clock(sample.time)} ${zone(sample.time)}`}>{exact(sample.value)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** A table is where the exact number is looked up, so it is not rounded; only grouped. */
function exact(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e15)) return String(value);
  return value.toLocaleString('en', { maximumFractionDigits: 10 }).replaceAll(',', '\u202f');
}
