/** A chart with its legend. Pages know this component and never what draws it. */

import { effect, type Signal, useSignal } from '@preact/signals';
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { type Frame, largest } from '../series';
import { shade } from '../theme';
import { clock, zone } from '../time';
import { format } from '../units';
import { zoomBack } from '../url';
import { Legend } from './legend';
import type { Mark, MarkGroup } from './marks';
import { type Cursor, type Look, lineColours, Plot, type Window } from './plot';

/** More lines than this cannot be told apart, so the smaller ones wait behind a button. */
const TOP = 8;
/** Past this a browser draws slowly and nobody reads it. */
const MOST = 100;

export interface ChartProps extends Look {
  title: string;
  frame: Frame;
  window: Window;
  height: number;
  /** Lines that the legend has room for without scrolling; keeps the page from jumping. */
  rows: number;
  /** Moments to draw, rising in time. */
  marks?: Mark[];
}

export function Chart(props: ChartProps) {
  const { frame, window, height, kind, unit, max, mirrored, floating } = props;
  const [isolated, setIsolated] = useState<string | null>(null);
  const [all, setAll] = useState(false);
  const into = useRef<HTMLDivElement>(null);
  const plot = useRef<Plot | null>(null);
  const at = useSignal<number | null>(null);
  const tip = useSignal<Tip | null>(null);

  const { kept, left } = useMemo(() => largest(frame.lines, all ? MOST : TOP), [frame, all]);
  const colours = useMemo(() => lineColours(kept), [kept]);
  const alone = kept.some((line) => line.key === isolated) ? isolated : null;
  const lines = alone === null ? kept : kept.filter((l) => l.key === alone || l.role === 'limit');
  const drawn: Frame = { grid: frame.grid, lines };
  // The plot is made anew only when this changes; otherwise it is fed.
  const shape = [kind, unit, max, mirrored, floating, ...lines.map((l) => l.key)].join('\n');

  useLayoutEffect(() => {
    if (!into.current) return undefined;
    const look: Look = { kind, unit, max, mirrored, floating };
    const node = into.current;
    const made = new Plot(node, height, drawn, look, colours, window, (cursor) => {
      at.value = cursor.at;
      tip.value = tipAt(cursor, node, tip.peek());
    });
    plot.current = made;
    return () => {
      made.destroy();
      plot.current = null;
      at.value = null;
      tip.value = null;
    };
  }, [shape, height]);

  useLayoutEffect(() => plot.current?.feed(drawn, window), [frame, window.from, window.to, shape]);
  const marks = props.marks;
  useLayoutEffect(() => plot.current?.mark(marks ?? []), [marks, shape, height]);
  useEffect(() => watch(into.current, height, plot), [height]);

  return (
    <div class="chart">
      <MarkTip tip={tip} />
      <figure
        class="plot"
        ref={into}
        style={{ height: `${height}px` }}
        aria-label={describe(props)}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the arrow keys move the cursor over the chart
        tabIndex={0}
        onKeyDown={(event) => onKey(event, plot.current)}
        onBlur={() => plot.current?.leave()}
      />
      <Legend
        lines={kept}
        left={left}
        all={all}
        unit={unit}
        grid={frame.grid}
        colours={colours}
        rows={props.rows}
        at={at}
        isolated={alone}
        onIsolate={setIsolated}
        onFocus={(key) => plot.current?.focus(key)}
        onAll={setAll}
      />
    </div>
  );
}

interface Tip {
  left: number;
  group: MarkGroup;
  /** Whether there is more room on the left of the mark than on its right. */
  leftwards: boolean;
}

/** All plots share the cursor, but only the one that is pointed at or focused says what the mark is. */
function tipAt({ group, left }: Cursor, node: HTMLElement, old: Tip | null): Tip | null {
  if (!group || !node.matches(':hover, :focus')) return null;
  if (old?.group === group) return old;
  return { left, group, leftwards: left > node.clientWidth / 2 };
}

/** Marks that a tip has room for. */
const TIP_MARKS = 5;

function MarkTip({ tip }: { tip: Signal<Tip | null> }) {
  if (!tip.value) return null;
  const { left, group, leftwards } = tip.value;
  const more = group.marks.length - TIP_MARKS;
  return (
    <div
      class={`mark-tip ${leftwards ? 'leftwards' : ''}`}
      style={{ left: `${left}px` }}
      role="status"
    >
      <ul>
        {group.marks.slice(0, TIP_MARKS).map((mark) => (
          <li key={`${mark.time} ${mark.text}`}>
            <time title={zone(mark.time)}>{clock(mark.time)}</time>
            <span class={`mark ${mark.kind}`}>{mark.text}</span>
          </li>
        ))}
      </ul>
      {more > 0 && <p class="quiet">and {more} more</p>}
    </div>
  );
}

/** Follows the width of the page and the theme. */
function watch(
  node: HTMLElement | null,
  height: number,
  plot: { current: Plot | null },
): () => void {
  const sizes = new ResizeObserver(() => {
    if (node) plot.current?.resize(node.clientWidth, height);
  });
  if (node) sizes.observe(node);
  const themes = effect(() => {
    shade.value;
    plot.current?.redraw();
  });
  return () => {
    sizes.disconnect();
    themes();
  };
}

function describe({ title, frame, unit, marks, window }: ChartProps): string {
  const parts = frame.lines.slice(0, TOP).map((line) => {
    const last = line.values.findLast((v) => v !== null);
    return `${line.name} ${format(last === undefined || last === null ? null : Math.abs(last), unit)}`;
  });
  const seen = marks?.filter((m) => m.time >= window.from && m.time <= window.to).length ?? 0;
  const events = seen > 0 ? ` ${seen} event${seen === 1 ? '' : 's'}, listed on this page.` : '';
  return `${title}: ${parts.join(', ')}.${events} Arrow keys move the cursor, Escape goes back over a zoom.`;
}

function onKey(event: KeyboardEvent, plot: Plot | null): void {
  const steps: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 };
  const by = steps[event.key];
  if (by !== undefined) plot?.step(by);
  else if (event.key === 'Escape') zoomBack();
  else return;
  event.preventDefault();
}
