// @vitest-environment node
import { beforeEach, describe, expect, test, vi } from 'vitest';

type Listener = (event: { data: string }) => void;

class Source {
  static CLOSED = 2;
  static all: Source[] = [];
  readyState = 1;
  listener: Listener = () => undefined;
  constructor(readonly url: string) {
    Source.all.push(this);
  }
  addEventListener(_: string, listener: Listener): void {
    this.listener = listener;
  }
  close(): void {
    this.readyState = Source.CLOSED;
  }
}

const page = { hidden: false, wake: (): void => undefined };
vi.stubGlobal('EventSource', Source);
vi.stubGlobal('document', {
  get hidden() {
    return page.hidden;
  },
  addEventListener: (_: string, wake: () => void) => {
    page.wake = wake;
  },
  removeEventListener: () => undefined,
});

const { reading, watchReadings } = await import('./readings');

const open = (): number => Source.all.filter((s) => s.readyState !== Source.CLOSED).length;
const send = (data: string): void => Source.all.at(-1)?.listener({ data });

beforeEach(() => {
  Source.all = [];
  page.hidden = false;
});

describe('readings', () => {
  test('come while somebody looks, over one stream, and end with the last', () => {
    const [one, two] = [watchReadings(), watchReadings()];
    expect(Source.all.map((s) => s.url)).toEqual(['/api/masthead/v1/live']);
    send('{"time":1,"host":{},"containers":[]}');
    expect(reading.value?.time).toBe(1);
    one();
    expect(open()).toBe(1);
    two();
    expect(open()).toBe(0);
    expect(reading.value).toBeNull();
  });

  test('stop while the tab is hidden', () => {
    const end = watchReadings();
    page.hidden = true;
    page.wake();
    expect(open()).toBe(0);
    page.hidden = false;
    page.wake();
    expect(open()).toBe(1);
    end();
  });

  test('that are broken or stop coming leave the figures of the refresh', () => {
    vi.useFakeTimers();
    const end = watchReadings();
    send('{"time":2,"host":{},"containers":[]}');
    send('{"time":3,"ho');
    expect(reading.value?.time).toBe(2);
    vi.advanceTimersByTime(6000);
    expect(reading.value).toBeNull();
    end();
    vi.useRealTimers();
  });
});
