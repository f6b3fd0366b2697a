/** Beside the queries: the metrics there are, the queries that were run, and some to begin with. */

import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { type ApiError, get, isAbort, type Metadata } from '../api';
import { pick } from '../frame/search';
import { asApiError } from '../panel';
import { EXAMPLES, past } from './history';

const TABS = ['Metrics', 'History', 'Examples'] as const;
const MOST = 100;

interface SideProps {
  onInsert: (text: string) => void;
  onReplace: (expr: string) => void;
}

export function Side({ onInsert, onReplace }: SideProps) {
  const tab = useSignal<(typeof TABS)[number]>('Metrics');
  return (
    <aside class="side panel" aria-label="Metrics, history and examples">
      <div class="tabs" role="tablist" aria-label="Browse">
        {TABS.map((name) => (
          <button
            key={name}
            type="button"
            role="tab"
            aria-selected={tab.value === name}
            onClick={() => {
              tab.value = name;
            }}
          >
            {name}
          </button>
        ))}
      </div>
      {tab.value === 'Metrics' && <Metrics onInsert={onInsert} />}
      {tab.value === 'History' && (
        <Queries list={past.value.map((expr) => ({ expr, about: '' }))} onReplace={onReplace} />
      )}
      {tab.value === 'Examples' && <Queries list={EXAMPLES} onReplace={onReplace} />}
    </aside>
  );
}

interface QueriesProps {
  list: { expr: string; about: string }[];
  onReplace: (expr: string) => void;
}

function Queries({ list, onReplace }: QueriesProps) {
  if (list.length === 0) return <p class="quiet hint">Queries that you run are listed here.</p>;
  return (
    <ul class="entries">
      {list.map(({ expr, about }) => (
        <li key={expr}>
          <button type="button" onClick={() => onReplace(expr)}>
            <code>{expr}</code>
            {about && <span class="quiet">{about}</span>}
          </button>
        </li>
      ))}
    </ul>
  );
}

interface Known {
  names: string[];
  metadata: Record<string, Metadata[]>;
}

async function loadKnown(signal: AbortSignal): Promise<Known> {
  const [names, metadata] = await Promise.all([
    get<string[]>('/api/v1/label/__name__/values', [], signal),
    get<Record<string, Metadata[]>>('/api/v1/metadata', [], signal),
  ]);
  return { names, metadata };
}

/** The metadata of a series' metric; those of a histogram or summary stand under the name without suffix. */
export function about(name: string, metadata: Record<string, Metadata[]>): Metadata | null {
  const base = name.replace(/_(bucket|sum|count)$/, '');
  return metadata[name]?.[0] ?? metadata[base]?.[0] ?? null;
}

function Metrics({ onInsert }: { onInsert: (text: string) => void }) {
  const known = useSignal<Known | null>(null);
  const error = useSignal<ApiError | null>(null);
  const text = useSignal('');
  useEffect(() => {
    const controller = new AbortController();
    loadKnown(controller.signal).then(
      (found) => {
        known.value = found;
      },
      (failure: unknown) => {
        if (!isAbort(failure)) error.value = asApiError(failure);
      },
    );
    return () => controller.abort();
  }, [known, error]);
  const names = known.value?.names ?? [];
  const found = text.value.trim() === '' ? names : pick(names, text.value, names.length);
  return (
    <>
      <input
        class="filter"
        type="search"
        aria-label="Filter metrics"
        placeholder={`Filter ${names.length || ''} metrics`}
        onInput={(event) => {
          text.value = event.currentTarget.value;
        }}
      />
      {error.value && <p class="note bad">{error.value.message}</p>}
      <ul class="entries">
        {found.slice(0, MOST).map((name) => (
          <MetricEntry
            key={name}
            name={name}
            meta={about(name, known.value?.metadata ?? {})}
            onInsert={onInsert}
          />
        ))}
      </ul>
      {found.length > MOST && (
        <p class="quiet hint">{found.length - MOST} more. Type to narrow them down.</p>
      )}
    </>
  );
}

interface EntryProps {
  name: string;
  meta: Metadata | null;
  onInsert: (text: string) => void;
}

function MetricEntry({ name, meta, onInsert }: EntryProps) {
  return (
    <li>
      <button type="button" title={meta?.help} onClick={() => onInsert(name)}>
        <code>{name}</code>
        {meta && (
          <span class="quiet">
            <b>{[meta.type, meta.unit].filter(Boolean).join(', ')}</b> {meta.help}
          </span>
        )}
      </button>
    </li>
  );
}
