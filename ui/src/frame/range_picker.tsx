/** The time range: presets, a range of one's own, and steps back and forward by half of it. */

import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { now } from '../api';
import { fromInput, PRESETS, rangeEnds, rangeWords, toInput, zone } from '../time';
import { range, setRange } from '../url';
import { Icon } from './icons';

export function RangePicker() {
  const open = useSignal(false);
  const element = useRef<HTMLDivElement>(null);
  useEffect(() => closeOutside(element.current, () => (open.value = false)), [open]);
  return (
    <div class="range" ref={element}>
      <button
        type="button"
        class="control square wide"
        title="Back by half the range"
        aria-label="Earlier"
        onClick={() => shift(-1)}
      >
        <Icon name="back" />
      </button>
      <button
        type="button"
        class="control range-open"
        aria-expanded={open.value}
        aria-haspopup="dialog"
        // On hover and not before: the browser looks its tables of time zones up for it, 30 ms of a first visit.
        onPointerEnter={(event) => (event.currentTarget.title = zone(now()))}
        onFocus={(event) => (event.currentTarget.title = zone(now()))}
        onClick={() => (open.value = !open.value)}
      >
        <Icon name="clock" />
        <span>{rangeWords(range.value)}</span>
      </button>
      <button
        type="button"
        class="control square wide"
        title="Forward by half the range"
        aria-label="Later"
        onClick={() => shift(1)}
      >
        <Icon name="forward" />
      </button>
      {open.value && <Choices done={() => (open.value = false)} />}
    </div>
  );
}

function shift(way: 1 | -1): void {
  const { from, to } = rangeEnds(range.peek(), now());
  const by = ((to - from) / 2) * way;
  setRange({ kind: 'fixed', from: from + by, to: to + by });
}

function closeOutside(node: HTMLElement | null, close: () => void): () => void {
  const onPointer = (event: PointerEvent): void => {
    if (node && !node.contains(event.target as Node)) close();
  };
  const onKey = (event: KeyboardEvent): void => {
    if (event.key === 'Escape') close();
  };
  document.addEventListener('pointerdown', onPointer);
  document.addEventListener('keydown', onKey);
  return () => {
    document.removeEventListener('pointerdown', onPointer);
    document.removeEventListener('keydown', onKey);
  };
}

function Choices({ done }: { done: () => void }) {
  const current = range.value;
  const ends = rangeEnds(current, now());
  const problem = useSignal('');
  const apply = (event: SubmitEvent): void => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    const from = fromInput(String(form.get('from')));
    const to = fromInput(String(form.get('to')));
    if (from === null || to === null) problem.value = 'Give both times.';
    else if (to <= from) problem.value = 'The end must be after the start.';
    else {
      setRange({ kind: 'fixed', from, to });
      done();
    }
  };
  return (
    <div class="popover" role="dialog" aria-label="Time range">
      <div class="presets">
        {PRESETS.map((preset) => (
          <button
            key={preset.text}
            type="button"
            aria-pressed={current.kind === 'last' && current.seconds === preset.seconds}
            title={preset.words}
            onClick={() => {
              setRange({ kind: 'last', seconds: preset.seconds });
              done();
            }}
          >
            {preset.text}
          </button>
        ))}
      </div>
      <form onSubmit={apply}>
        <label>
          From
          <input type="datetime-local" name="from" defaultValue={toInput(ends.from)} required />
        </label>
        <label>
          To
          <input type="datetime-local" name="to" defaultValue={toInput(ends.to)} required />
        </label>
        <p class="quiet">{zone(ends.to)}</p>
        {problem.value && <p class="note bad">{problem.value}</p>}
        <button type="submit" class="primary">
          Show this range
        </button>
      </form>
    </div>
  );
}
