/** A chart with its legend. Pages know this component and never what draws it. */

import { effect, useSignal } from '@preact/signals';
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { type Frame, largest } from '../series';
import { shade } from '../theme';
import { format } from '../units';
import { zoomBack } from '../url';
import { Legend } from './legend';
import { type Look, lineColours, Plot, type Window } from './plot';

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
}

export function Chart(props: ChartProps) {
  const { frame, window, height, kind, unit, max, mirrored, floating } = props;
  const [isolated, setIsolated] = useState<string | null>(null);
  const [all, setAll] = useState(false);
  const into = useRef<HTMLDivElement>(null);
  const plot = useRef<Plot | null>(null);
  const at = useSignal<number | null>(null);

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
    const made = new Plot(into.current, height, drawn, look, colours, window, (i) => {
      at.value = i;
    });
    plot.current = made;
    return () => {
      made.destroy();
      plot.current = null;
      at.value = null;
    };
  }, [shape, height]);

  useLayoutEffect(() => plot.current?.feed(drawn, window), [frame, window.from, window.to, shape]);
  useEffect(() => watch(into.current, height, plot), [height]);

  return (
    <div class="chart">
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

function describe({ title, frame, unit }: ChartProps): string {
  const parts = frame.lines.slice(0, TOP).map((line) => {
    const last = line.values.findLast((v) => v !== null);
    return `${line.name} ${format(last === undefined || last === null ? null : Math.abs(last), unit)}`;
  });
  return `${title}: ${parts.join(', ')}. Arrow keys move the cursor, Escape goes back over a zoom.`;
}

function onKey(event: KeyboardEvent, plot: Plot | null): void {
  const steps: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 };
  const by = steps[event.key];
  if (by !== undefined) plot?.step(by);
  else if (event.key === 'Escape') zoomBack();
  else return;
  event.preventDefault();
}
