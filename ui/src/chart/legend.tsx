/** The table under a chart: each line with its figures over the range, and its value at the cursor. */

import type { Signal } from '@preact/signals';
import { colour, INK } from '../colours';
import { figures, type Line } from '../series';
import { shade } from '../theme';
import { clock, type Grid, moment, zone } from '../time';
import { format, type Unit } from '../units';

interface LegendProps {
  lines: Line[];
  /** Lines that were left out because they are small. */
  left: number;
  all: boolean;
  unit: Unit;
  grid: Grid;
  colours: Map<string, number>;
  rows: number;
  at: Signal<number | null>;
  isolated: string | null;
  onIsolate: (key: string | null) => void;
  onFocus: (key: string | null) => void;
  onAll: (all: boolean) => void;
}

export function Legend(props: LegendProps) {
  const { lines, left, all, rows, unit, at, isolated } = props;
  return (
    <div class="legend" style={{ height: `${(rows + 1) * 20 + 4}px` }} tabIndex={-1}>
      <table>
        <thead>
          <tr>
            <th scope="col">
              <Moment grid={props.grid} at={at} />
            </th>
            <th scope="col">
              <ValueHead at={at} />
            </th>
            <th scope="col">min</th>
            <th scope="col">mean</th>
            <th scope="col">max</th>
          </tr>
        </thead>
        <tbody onMouseLeave={() => props.onFocus(null)}>
          {lines.map((line) => (
            <LegendRow
              key={line.key}
              line={line}
              unit={unit}
              at={at}
              swatch={props.colours.get(line.name) ?? 0}
              off={isolated !== null && isolated !== line.key && line.role !== 'limit'}
              alone={isolated === line.key}
              onIsolate={props.onIsolate}
              onFocus={props.onFocus}
            />
          ))}
        </tbody>
      </table>
      {(left > 0 || all) && (
        <button type="button" class="more" onClick={() => props.onAll(!all)}>
          {all ? 'Show the largest only' : `Show ${left} more`}
        </button>
      )}
    </div>
  );
}

/** The time under the cursor. Its own component, so that a moving cursor redraws nothing else. */
function Moment({ grid, at }: { grid: Grid; at: Signal<number | null> }) {
  if (at.value === null) return <span class="quiet">series</span>;
  const time = grid.start + at.value * grid.step;
  const text = grid.step >= 3600 ? moment(time) : clock(time);
  return <time title={zone(time)}>{text}</time>;
}

function ValueHead({ at }: { at: Signal<number | null> }) {
  return <>{at.value === null ? 'last' : 'here'}</>;
}

function ValueAt({ line, unit, at }: { line: Line; unit: Unit; at: Signal<number | null> }) {
  const value = at.value === null ? figures(line.values).last : line.values[at.value];
  return <>{format(value == null ? null : sized(value, line), unit)}</>;
}

/** Mirrored lines carry a sign only to be drawn below zero. */
function sized(value: number, line: Line): number {
  return line.sign < 0 ? Math.abs(value) : value;
}

interface RowProps {
  line: Line;
  unit: Unit;
  at: Signal<number | null>;
  swatch: number;
  off: boolean;
  alone: boolean;
  onIsolate: (key: string | null) => void;
  onFocus: (key: string | null) => void;
}

function LegendRow({ line, unit, at, swatch, off, alone, onIsolate, onFocus }: RowProps) {
  const limit = line.role === 'limit';
  const mirrored = line.sign < 0;
  const { min, mean, max } = figures(line.values);
  const show = (value: number | null): string =>
    format(value === null ? null : sized(value, line), unit);
  const paint = limit ? INK[shade.value].limit : colour(swatch, shade.value);
  return (
    <tr class={off ? 'off' : ''} onMouseEnter={() => onFocus(line.key)}>
      <th scope="row">
        <button
          type="button"
          title={line.name}
          disabled={limit}
          aria-pressed={limit ? undefined : alone}
          onClick={() => onIsolate(alone ? null : line.key)}
          onFocus={() => onFocus(line.key)}
          onBlur={() => onFocus(null)}
        >
          <i class={limit ? 'swatch dashed' : 'swatch'} style={{ color: paint }} />
          <span>{line.name}</span>
        </button>
      </th>
      <td class="now">
        <ValueAt line={line} unit={unit} at={at} />
      </td>
      <td>{show(mirrored ? max : min)}</td>
      <td>{show(mean)}</td>
      <td>{show(mirrored ? min : max)}</td>
    </tr>
  );
}
