/**
 * The drawing of a chart: the one place that knows uPlot.
 *
 * A plot is made once for a set of lines and then fed; only when the set itself changes is it made
 * anew. The range and the cursor belong to the page: all plots share one cursor, and a drag sets the
 * range in the URL, from where it comes back to all of them.
 */

import uPlot from 'uplot';
import { assign, colour, fade, INK } from '../colours';
import { type Frame, type Line, stack, times } from '../series';
import { shade } from '../theme';
import { timeTicks } from '../time';
import { formatTicks, tickSteps, type Unit } from '../units';
import { zoomBack, zoomTo } from '../url';
import { groupMarks, type Mark, type MarkGroup, type MarkKind, nearest } from './marks';

export interface Look {
  kind: 'line' | 'stack';
  unit: Unit;
  /** Fixed top of the axis, such as 100 for percent. */
  max?: number | undefined;
  /** Lines below zero go "the other way" (write, transmit) and are labelled without a sign. */
  mirrored?: boolean | undefined;
  /** Whether the axis may leave zero out, which Explore wants and a host chart does not. */
  floating?: boolean | undefined;
}

export interface Window {
  from: number;
  to: number;
}

/** Every line's palette index, by name. A line with a colour of its own keeps it. */
export function lineColours(lines: Line[]): Map<string, number> {
  const values = lines.filter((line) => line.role !== 'limit');
  const colours = assign(values.filter((l) => l.tint === undefined).map((l) => l.name));
  for (const { name, tint } of values) if (tint !== undefined) colours.set(name, tint);
  return colours;
}

/** Marks nearer than this are drawn as one, and the cursor finds a mark from this far; in CSS pixels. */
const MARK_GAP = 7;

/** What the cursor of a plot is at. */
export interface Cursor {
  at: number | null;
  /** From the left edge of the plot's element, in CSS pixels. */
  left: number;
  group: MarkGroup | null;
}

export class Plot {
  private readonly u: uPlot;
  private window: Window;
  private lines: Line[];
  private marks: Mark[] = [];
  /** As drawn last, in CSS pixels within the plotting area. */
  private groups: MarkGroup[] = [];

  constructor(
    into: HTMLElement,
    height: number,
    frame: Frame,
    private readonly look: Look,
    private readonly colours: Map<string, number>,
    window: Window,
    onCursor: (cursor: Cursor) => void,
  ) {
    this.window = window;
    this.lines = frame.lines;
    this.u = new uPlot(this.options(into.clientWidth, height, onCursor), this.columns(frame), into);
  }

  feed(frame: Frame, window: Window): void {
    this.window = window;
    this.lines = frame.lines;
    this.u.setData(this.columns(frame));
  }

  /** Draws these moments as vertical lines; they must rise in time. */
  mark(marks: Mark[]): void {
    if (marks.length === 0 && this.marks.length === 0) return;
    this.marks = marks;
    this.u.redraw(false, true);
  }

  resize(width: number, height: number): void {
    if (width > 0 && width !== this.u.width) this.u.setSize({ width, height });
  }

  redraw(): void {
    this.u.redraw(false, true);
  }

  /** Draws one line strongly and the others faintly; null gives all of them back. */
  focus(key: string | null): void {
    const at = this.lines.findIndex((line) => line.key === key);
    this.u.setSeries(at < 0 ? null : at + 1, { focus: at >= 0 });
  }

  /** Moves the cursor by points of the grid, for the keyboard. */
  step(by: number): void {
    const xs = this.u.data[0];
    const at = this.u.cursor.idx ?? (by > 0 ? -1 : xs.length);
    const next = Math.min(xs.length - 1, Math.max(0, at + by));
    const left = this.u.valToPos(xs[next] ?? 0, 'x');
    this.u.setCursor({ left, top: this.u.over.clientHeight / 2 });
  }

  leave(): void {
    this.u.setCursor({ left: -10, top: -10 });
  }

  destroy(): void {
    this.u.destroy();
  }

  private columns(frame: Frame): uPlot.AlignedData {
    const stacked =
      this.look.kind === 'stack' ? stack(frame.lines.filter((l) => l.role !== 'limit')) : [];
    let next = 0;
    const columns = frame.lines.map((line) => {
      if (this.look.kind !== 'stack' || line.role === 'limit') return line.values;
      next += 1;
      return stacked[next - 1] ?? line.values;
    });
    return [times(frame.grid), ...columns];
  }

  private options(
    width: number,
    height: number,
    onCursor: (cursor: Cursor) => void,
  ): uPlot.Options {
    return {
      width,
      height,
      padding: [10, 6, 0, 0],
      legend: { show: false },
      focus: { alpha: 0.2 },
      cursor: {
        y: false,
        sync: { key: 'page', scales: ['x', null] },
        drag: { x: true, y: false, setScale: false, dist: 6 },
        points: { size: 6, width: 0 },
        focus: { prox: -1 },
        bind: {
          dblclick: () => () => {
            zoomBack();
            return null;
          },
        },
      },
      scales: {
        x: { time: true, range: () => [this.window.from, this.window.to] },
        y: { range: (_, low, high) => this.yRange(low, high) },
      },
      axes: this.axes(),
      series: [{}, ...this.lines.map((line) => this.series(line))],
      bands: this.bands(),
      hooks: {
        drawAxes: [(u) => this.drawMarks(u)],
        setCursor: [(u) => onCursor(this.cursorOf(u))],
        setSelect: [(u) => this.select(u)],
      },
    };
  }

  private select(u: uPlot): void {
    if (u.select.width < 6) return;
    const from = u.posToVal(u.select.left, 'x');
    const to = u.posToVal(u.select.left + u.select.width, 'x');
    u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    // Shorter than this there is nothing between two scrapes to see.
    if (to - from >= 30) zoomTo(from, to);
  }

  private cursorOf(u: uPlot): Cursor {
    const within = u.cursor.left ?? -10;
    const group = within < 0 ? null : nearest(this.groups, within, MARK_GAP);
    const edge = u.bbox.left / devicePixelRatio;
    return { at: u.cursor.idx ?? null, left: edge + (group?.at ?? within), group };
  }

  /** Under the lines, so that a mark never hides a value. */
  private drawMarks(u: uPlot): void {
    const seen = this.marks.filter((m) => m.time >= this.window.from && m.time <= this.window.to);
    this.groups = groupMarks(seen, (time) => u.valToPos(time, 'x'), MARK_GAP);
    const { ctx, bbox } = u;
    const ratio = devicePixelRatio;
    ctx.save();
    ctx.lineWidth = ratio;
    for (const group of this.groups) {
      const x = Math.round(bbox.left + group.at * ratio) + 0.5;
      ctx.strokeStyle = markInk(group.kind);
      ctx.fillStyle = ctx.strokeStyle;
      ctx.globalAlpha = group.kind === 'quiet' ? 0.35 : 0.7;
      ctx.setLineDash([2 * ratio, 3 * ratio]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.globalAlpha = 1;
      drawHead(ctx, group.kind, x, bbox.top - 5 * ratio, 4 * ratio);
    }
    ctx.restore();
  }

  private yRange(low: number | null, high: number | null): [number, number] {
    if (this.look.max !== undefined) return [0, this.look.max];
    if (low === null || high === null) return [0, 1];
    if (this.look.floating && low > 0 && high - low < high / 2) {
      const pad = (high - low || high) * 0.1;
      return [Math.max(0, low - pad), high + pad];
    }
    const bottom = Math.min(0, low) * 1.08;
    const top = Math.max(0, high) * 1.08;
    return top === bottom ? [0, 1] : [bottom, top];
  }

  private axes(): uPlot.Axis[] {
    const { unit, mirrored } = this.look;
    const common: uPlot.Axis = {
      stroke: () => INK[shade.peek()].text,
      grid: { stroke: () => INK[shade.peek()].grid, width: 1 },
      ticks: { show: false },
      font: '11px system-ui, sans-serif',
    };
    return [
      { ...common, size: 26, space: 64, values: (_, ticks, __, ___, gap) => timeTicks(ticks, gap) },
      {
        ...common,
        size: 60,
        gap: 6,
        space: 30,
        incrs: tickSteps(unit),
        values: (_, ticks) => formatTicks(ticks, unit, mirrored),
      },
    ];
  }

  private stroke(line: Line): string {
    if (line.role === 'limit') return INK[shade.peek()].limit;
    return colour(this.colours.get(line.name) ?? 0, shade.peek());
  }

  /** A stack's areas carry the picture; what is merely left over stays in the background. */
  private fill(line: Line): string {
    return fade(this.stroke(line), line.role === 'rest' ? 0.1 : 0.35);
  }

  private series(line: Line): uPlot.Series {
    const first = this.lines.findIndex((l) => l.role !== 'limit');
    const values = this.lines.filter((l) => l.role !== 'limit').length;
    const base: uPlot.Series = {
      stroke: () => this.stroke(line),
      width: line.role === 'limit' ? 1 : 1.25,
      // A point whose neighbours are missing has no line to be on, so it is drawn as a dot.
      points: { show: true, size: 4, filter: (u, at) => loners(u.data[at] ?? []) },
    };
    if (line.role === 'limit') return { ...base, dash: [5, 4] };
    if (this.look.kind === 'stack') {
      const bottom = this.lines[first] === line;
      return bottom ? { ...base, fill: () => this.fill(line) } : base;
    }
    return values <= 2 ? { ...base, fill: () => fade(this.stroke(line), 0.1) } : base;
  }

  private bands(): uPlot.Band[] {
    if (this.look.kind !== 'stack') return [];
    const at = this.lines.flatMap((line, i) => (line.role !== 'limit' ? [i + 1] : []));
    return at.slice(1).map((upper, i) => {
      const line = this.lines[upper - 1];
      return {
        series: [upper, at[i] ?? upper],
        fill: () => (line ? this.fill(line) : 'transparent'),
      };
    });
  }
}

function markInk(kind: MarkKind): string {
  const ink = INK[shade.peek()];
  if (kind === 'bad') return ink.bad;
  return kind === 'deploy' ? ink.accent : ink.text;
}

/** The head tells the kinds apart without colour: a flag down, a diamond, a dot. */
function drawHead(
  ctx: CanvasRenderingContext2D,
  kind: MarkKind,
  x: number,
  y: number,
  size: number,
): void {
  ctx.beginPath();
  if (kind === 'quiet') ctx.arc(x, y, size * 0.6, 0, 2 * Math.PI);
  else {
    ctx.moveTo(x - size, kind === 'bad' ? y : y - size);
    if (kind === 'bad') ctx.lineTo(x, y - size);
    else ctx.lineTo(x + size, y - size);
    if (kind === 'bad') ctx.lineTo(x + size, y);
    ctx.lineTo(x, y + size);
  }
  ctx.closePath();
  ctx.fill();
}

function loners(values: ArrayLike<number | null | undefined>): number[] {
  const out: number[] = [];
  for (let i = 0; i < values.length; i += 1) {
    if (values[i] != null && values[i - 1] == null && values[i + 1] == null) out.push(i);
  }
  return out;
}
