/**
 * What keeps a page current: which of its parts ask, when, and when they stop.
 *
 * Invariants: only visible parts ask; all that are due go out in one go; a hidden tab asks nothing;
 * leaving the page ends its requests; a changed range ends the requests for the old one, while an
 * ordinary refresh waits for them, or a slow server would never get to answer.
 */

import { effect, signal } from '@preact/signals-core';
import { createContext, type RefObject } from 'preact';
import { useContext, useLayoutEffect } from 'preact/hooks';
import { now } from './api';
import { instance, interval, isYoung } from './server';
import { range, rangeKey, refresh } from './url';

/** A part of a page that asks the server for something. `run` handles its own failures. */
export interface Task {
  run: (signal: AbortSignal) => Promise<void>;
  visible: boolean;
  /** The browser sends six at a time, so what the reader looks for first goes first: 0, then 1, then 2. */
  rank: 0 | 1 | 2;
  /** Whether its answer depends on the range; health does not. */
  ranged: boolean;
  /** The page's first chart: until it is drawn the others wait. */
  first?: boolean;
}

interface State {
  due: boolean;
  running: AbortController | null;
}

/** So long the others wait for the first chart at most: a slow answer must not hold up the rest. */
const FIRST_WAIT_MS = 200;

/** How soon a server without any points yet is asked again. */
const YOUNG_REFRESH = 2;

export class LivePage {
  /**
   * Whether the first chart is drawn. A browser that has just started draws a page of a dozen charts in half a second,
   * and the reader would see nothing of it before the end: so one chart comes first, then the rest.
   */
  readonly opened = signal(false);
  private tasks = new Map<Task, State>();
  private scheduled = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private opening: ReturnType<typeof setTimeout> | undefined;
  private last = 0;
  private stops: (() => void)[];

  constructor() {
    let first = true;
    let shown = instance.peek();
    const watch = effect(() => {
      rangeKey.value;
      interval.value;
      const other = instance.value !== shown;
      shown = instance.value;
      if (!first) this.changed(other);
      first = false;
    });
    const pace = effect(() => {
      refresh.value;
      this.arm();
    });
    const wake = (): void => this.arm();
    document.addEventListener('visibilitychange', wake);
    this.stops = [watch, pace, () => document.removeEventListener('visibilitychange', wake)];
  }

  add(task: Task): () => void {
    if (task.first && !this.opened.peek())
      this.opening ??= setTimeout(() => this.open(), FIRST_WAIT_MS);
    this.tasks.set(task, { due: true, running: null });
    this.schedule();
    return () => {
      this.tasks.get(task)?.running?.abort();
      this.tasks.delete(task);
    };
  }

  show(task: Task, visible: boolean): void {
    task.visible = visible;
    if (visible) this.schedule();
  }

  /** Asks again, now, and drops a request that is under way: its question is no longer the one. */
  restart(task: Task): void {
    const state = this.tasks.get(task);
    if (!state) return;
    state.running?.abort();
    state.running = null;
    state.due = true;
    this.schedule();
  }

  /** What the timer does; a test may do it as well. */
  tick(): void {
    this.last = Date.now();
    const still = range.peek();
    const past = still.kind === 'fixed' && still.to < now();
    for (const [task, state] of this.tasks) state.due ||= !(task.ranged && past);
    this.schedule();
  }

  close(): void {
    clearTimeout(this.timer);
    clearTimeout(this.opening);
    for (const stop of this.stops) stop();
    for (const state of this.tasks.values()) state.running?.abort();
    this.tasks.clear();
  }

  /** Another range concerns what is drawn over it; another server concerns everything. */
  private changed(all: boolean): void {
    for (const task of this.tasks.keys()) if (all || task.ranged) this.restart(task);
  }

  private arm(): void {
    clearTimeout(this.timer);
    const pace = refresh.peek();
    if (document.hidden || pace === 0) return;
    const wait = (isYoung() ? YOUNG_REFRESH : pace) * 1000;
    // After a sleep the page is brought up to date at once, not after another interval.
    const left = this.last === 0 ? wait : Math.max(0, this.last + wait - Date.now());
    this.timer = setTimeout(() => {
      this.tick();
      this.arm();
    }, left);
  }

  /** One microtask later, so that everything that became due together goes out together. */
  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    queueMicrotask(() => {
      this.scheduled = false;
      const ordered = [...this.tasks].sort(([a], [b]) => a.rank - b.rank);
      const first = this.opened.peek()
        ? []
        : ordered.filter(([task]) => task.first && task.visible);
      if (first.length === 0 && !this.opened.peek()) this.open();
      for (const [task, state] of first.length > 0 ? first : ordered) {
        if (state.due && task.visible && !state.running) this.start(task, state);
      }
    });
  }

  /** The first chart is there, or will not be soon, or the page has none: now the rest. */
  private open(): void {
    clearTimeout(this.opening);
    this.opening = undefined;
    if (this.opened.peek()) return;
    this.opened.value = true;
    this.schedule();
  }

  private start(task: Task, state: State): void {
    const controller = new AbortController();
    state.due = false;
    state.running = controller;
    void task.run(controller.signal).finally(() => {
      if (state.running === controller) state.running = null;
      // In the frame after the one that shows it.
      if (task.first && !this.opened.peek())
        requestAnimationFrame(() => setTimeout(() => this.open()));
      if (state.due) this.schedule();
    });
  }
}

export const PageContext = createContext<LivePage | null>(null);

export function usePage(): LivePage {
  const page = useContext(PageContext);
  if (!page) throw new Error('a panel stands outside of a page');
  return page;
}

const seen = new WeakMap<Element, (visible: boolean) => void>();
const watcher = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) seen.get(entry.target)?.(entry.isIntersecting);
  },
  // A little early, so that a chart is there when it scrolls in.
  { rootMargin: '150px' },
);

/** Runs `task` with its page while the element is on the screen. */
export function useTask(task: Task, element: RefObject<HTMLElement | null>): void {
  const page = usePage();
  // Before the first paint, so that the questions are under way while the page is drawn.
  useLayoutEffect(() => {
    const node = element.current;
    task.visible ||= node !== null && node.getBoundingClientRect().top < window.innerHeight;
    const remove = page.add(task);
    if (node) {
      seen.set(node, (visible) => page.show(task, visible));
      watcher.observe(node);
    }
    return () => {
      if (node) watcher.unobserve(node);
      remove();
    };
  }, [page, task, element]);
}
