/** The processes that use most, measured when the reader asks and not before. */

import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { type ApiError, get, isAbort, now } from '../api';
import { asApiError, ErrorNote } from '../panel';
import { spell } from '../time';
import { format } from '../units';
import { cores } from './cells';

interface Process {
  pid: number;
  name: string;
  command: string;
  user: string;
  state: string;
  cpuCores: number | null;
  memoryBytes: number | null;
  threads: number | null;
  container: string;
  app: string;
  startedAt: number | null;
}

interface Top {
  processes: Process[];
  total: number;
  seconds: number;
}

interface State {
  top: Top | null;
  error: ApiError | null;
  busy: boolean;
  by: 'cpu' | 'memory';
}

/** `scope` names a container or an app; without it the whole host is meant. */
export function Processes({ scope, title }: { scope: [string, string][]; title: string }) {
  const state = useSignal<State>({ top: null, error: null, busy: false, by: 'cpu' });
  const running = useRef<AbortController | null>(null);
  useEffect(() => () => running.current?.abort(), []);
  const measure = async (by: 'cpu' | 'memory'): Promise<void> => {
    running.current?.abort();
    const controller = new AbortController();
    running.current = controller;
    state.value = { ...state.peek(), busy: true, by };
    try {
      const params: [string, string][] = [...scope, ['by', by], ['limit', '20']];
      const top = await get<Top>('/api/masthead/v1/top', params, controller.signal);
      state.value = { ...state.peek(), top, error: null, busy: false };
    } catch (error) {
      if (!isAbort(error)) state.value = { ...state.peek(), error: asApiError(error), busy: false };
    }
  };
  const { top, error, busy, by } = state.value;
  return (
    <section class="panel sheet span-12 processes" aria-busy={busy}>
      <header>
        <h2>{title}</h2>
        <button type="button" class="control" disabled={busy} onClick={() => measure('cpu')}>
          {busy && by === 'cpu' ? 'Measuring' : 'By CPU now'}
        </button>
        <button type="button" class="control" disabled={busy} onClick={() => measure('memory')}>
          {busy && by === 'memory' ? 'Measuring' : 'By memory now'}
        </button>
      </header>
      {error && <ErrorNote error={error} kept={top !== null} />}
      {top ? <ProcessTable top={top} /> : !error && <Hint />}
    </section>
  );
}

function Hint() {
  return <p class="quiet hint">Measured over half a second when you ask; nothing is stored.</p>;
}

function ProcessTable({ top }: { top: Top }) {
  if (top.processes.length === 0) return <p class="void">No process runs here.</p>;
  return (
    <>
      <table>
        <thead>
          <tr>
            <th scope="col">Process</th>
            <th scope="col" class="figure">
              CPU, cores
            </th>
            <th scope="col" class="figure">
              Memory
            </th>
            <th scope="col" class="figure extra">
              Threads
            </th>
            <th scope="col" class="extra">
              User
            </th>
            <th scope="col" class="extra">
              State
            </th>
            <th scope="col" class="extra">
              Container
            </th>
            <th scope="col" class="figure extra">
              Runs for
            </th>
          </tr>
        </thead>
        <tbody>
          {top.processes.map((process) => (
            <tr key={process.pid}>
              <th scope="row">
                <b>{process.name}</b> <span class="quiet">{process.pid}</span>
                <code class="quiet">{process.command}</code>
              </th>
              <td class="figure">{cores(process.cpuCores)}</td>
              <td class="figure">{format(process.memoryBytes, 'bytes')}</td>
              <td class="figure extra">{process.threads ?? '–'}</td>
              <td class="extra">{process.user}</td>
              <td class="extra">{process.state}</td>
              <td class="extra">{process.container || '–'}</td>
              <td class="figure extra">
                {process.startedAt ? spell(now() - process.startedAt) : '–'}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <p class="quiet hint">
        {top.processes.length} of {top.total}, measured over {top.seconds} s. Options of a command
        are left out: they may hold secrets.
      </p>
    </>
  );
}
