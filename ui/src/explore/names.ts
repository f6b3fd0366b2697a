/** Names in Explore: of metrics within a query, and of series within a result. */

import type { Labels } from '../api';
import { selectorOf } from '../series';

const KEYWORDS = new Set(
  'and or unless by without on ignoring group_left group_right offset bool start end inf nan atan2'.split(
    ' ',
  ),
);

/** The metrics that a query names, as far as can be told without parsing it. */
export function metricsIn(expr: string): string[] {
  const bare = expr
    .replace(/"(\\.|[^"\\])*"|'(\\.|[^'\\])*'|`[^`]*`/g, '')
    .replace(/#.*/g, '')
    .replace(/\{[^}]*\}|\[[^\]]*\]/g, ' ')
    .replace(/\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/gi, ' ');
  const found = new Set<string>();
  for (const match of bare.matchAll(/[a-zA-Z_:][\w:]*(?!\w*\s*\()/g)) {
    const before = bare[match.index - 1];
    // Digits directly before make it a part of a number, such as the unit of 5m.
    if (before !== undefined && /[\w.]/.test(before)) continue;
    const rest = bare.slice(match.index + match[0].length);
    if (/^\s*\(/.test(rest) || KEYWORDS.has(match[0].toLowerCase())) continue;
    found.add(match[0]);
  }
  return [...found];
}

/** Names without what all of them share, because a legend is for telling them apart. */
export function shortNames(metrics: Labels[], expr: string): string[] {
  if (metrics.length === 1) {
    const only = metrics[0] ?? {};
    return [only.__name__ === undefined ? expr : selectorOf(only)];
  }
  const first = metrics[0] ?? {};
  const shared = Object.keys(first).filter((label) =>
    metrics.every((m) => m[label] === first[label]),
  );
  return metrics.map((metric) => {
    const rest = Object.fromEntries(
      Object.entries(metric).filter(([label]) => !shared.includes(label)),
    );
    return selectorOf(rest);
  });
}
