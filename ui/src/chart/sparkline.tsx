/** A small line without axes, for a card. Drawn as SVG, which costs less than a canvas with a library. */

import { colour, fade } from '../colours';
import { shade } from '../theme';

const WIDTH = 200;
const HEIGHT = 36;

/** The outline of the line and of the area under it; a missing value breaks both. */
export function paths(values: (number | null)[], top: number): { line: string; area: string } {
  const dx = values.length > 1 ? WIDTH / (values.length - 1) : 0;
  let line = '';
  let area = '';
  values.forEach((value, i) => {
    if (value === null) return;
    const x = (i * dx).toFixed(1);
    const y = (HEIGHT - 1 - (Math.min(value, top) / top) * (HEIGHT - 3)).toFixed(1);
    const joined = i > 0 && values[i - 1] !== null;
    line += `${joined ? 'L' : 'M'}${x} ${y}`;
    area += joined ? `L${x} ${y}` : `M${x} ${HEIGHT}L${x} ${y}`;
    if (values[i + 1] == null) area += `L${x} ${HEIGHT}Z`;
  });
  return { line, area };
}

export function Sparkline({
  values,
  max,
  tint = 0,
}: {
  values: (number | null)[];
  max?: number | undefined;
  /** The palette index. */
  tint?: number;
}) {
  const highest = Math.max(0, ...values.map((v) => v ?? 0));
  const { line, area } = paths(values, (max ?? highest * 1.1) || 1);
  const stroke = colour(tint, shade.value);
  return (
    <svg
      class="spark"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      aria-hidden="true"
    >
      <path d={area} fill={fade(stroke, 0.12)} />
      <path
        d={line}
        fill="none"
        stroke={stroke}
        stroke-width="1.5"
        vector-effect="non-scaling-stroke"
      />
    </svg>
  );
}
