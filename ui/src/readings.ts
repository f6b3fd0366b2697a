/**
 * One-second readings while somebody looks. A page that wants them holds a lease; while there is a
 * lease and the tab is visible one stream is open, and otherwise none, so that a server nobody looks
 * at does no work. A server without the stream is no fault: the numbers of the last refresh stand.
 */

import { signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';

export interface HostReading {
  cpuRatio: number | null;
  load1: number | null;
  memoryUsedBytes: number | null;
  memoryTotalBytes: number | null;
  swapUsedBytes: number | null;
  receiveBytesPerSecond: number | null;
  transmitBytesPerSecond: number | null;
  readBytesPerSecond: number | null;
  writtenBytesPerSecond: number | null;
}

export interface ContainerReading {
  id: string;
  name: string;
  app: string;
  project: string;
  /** Rates are null in the first reading, which has nothing before it. */
  cpuCores: number | null;
  memoryWorkingSetBytes: number | null;
  memoryLimitBytes: number | null;
  receiveBytesPerSecond: number | null;
  transmitBytesPerSecond: number | null;
  readBytesPerSecond: number | null;
  writtenBytesPerSecond: number | null;
  processes: number | null;
}

export interface Reading {
  time: number;
  host: HostReading;
  containers: ContainerReading[];
}

/** The newest reading; null while none come, and then nothing on the page claims to be live. */
export const reading = signal<Reading | null>(null);

/** Without a reading for so long the last one is no longer the present. */
const STALE_MS = 5000;

let leases = 0;
let source: EventSource | null = null;
let stale: ReturnType<typeof setTimeout> | undefined;

function close(): void {
  source?.close();
  source = null;
  clearTimeout(stale);
  reading.value = null;
}

function receive(event: MessageEvent<string>): void {
  clearTimeout(stale);
  stale = setTimeout(() => {
    reading.value = null;
  }, STALE_MS);
  try {
    reading.value = JSON.parse(event.data) as Reading;
  } catch {
    // A line cut off by a restart of the server; the next one is a second away.
  }
}

function follow(): void {
  const wanted = leases > 0 && !document.hidden;
  if (!wanted) close();
  else if (source === null || source.readyState === EventSource.CLOSED) {
    source = new EventSource('/api/masthead/v1/live');
    source.addEventListener('reading', receive);
  }
}

/** Asks for readings until the returned function is called. */
export function watchReadings(): () => void {
  if (leases === 0) document.addEventListener('visibilitychange', follow);
  leases += 1;
  follow();
  return () => {
    leases -= 1;
    if (leases === 0) document.removeEventListener('visibilitychange', follow);
    follow();
  };
}

/** Readings for as long as the component is on the page, where `wanted`. */
export function useReadings(wanted: boolean): void {
  useEffect(() => (wanted ? watchReadings() : undefined), [wanted]);
}
