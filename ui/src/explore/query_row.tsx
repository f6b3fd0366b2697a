/** One query: its editor, what it cost, and what went wrong with it. */

import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { ApiError, QueryCost } from '../api';
import { Icon } from '../frame/icons';
import type { Editor } from './editor';
import { Cost } from './results';

export interface QueryState {
  cost: QueryCost | null;
  error: ApiError | null;
  warnings: string[];
  /** Why there is nothing to show. */
  why: string;
}

interface QueryRowProps {
  name: string;
  text: string;
  /** Changes when `text` came from elsewhere than the editor, which must then take it over. */
  given: number;
  state: QueryState | undefined;
  removable: boolean;
  onChange: (text: string) => void;
  onRun: () => void;
  onRemove: () => void;
  /** Tells which editor a metric goes into. */
  onFocus: (editor: { insert: (text: string) => void }) => void;
}

export function QueryRow(props: QueryRowProps) {
  const { name, state, removable } = props;
  return (
    <div class="query">
      <div class="query-line">
        <span class="letter" aria-hidden="true">
          {name}
        </span>
        <EditorBox {...props} />
        {removable && (
          <button
            type="button"
            class="control square"
            aria-label={`Remove query ${name}`}
            onClick={props.onRemove}
          >
            <Icon name="close" />
          </button>
        )}
      </div>
      {state?.error && (
        <p class="note bad" role="alert">
          {state.error.message}
          {state.error.position &&
            ` (line ${state.error.position.line}, column ${state.error.position.column})`}
        </p>
      )}
      {state?.why && !state.error && <p class="note">{state.why}</p>}
      {state?.warnings.map((text) => (
        <p class="note warn" key={text}>
          {text}
        </p>
      ))}
      {/* The line is there before its words, so that nothing below moves when the answer comes. */}
      {!state?.error && (state?.cost ? <Cost cost={state.cost} /> : <p class="cost">&nbsp;</p>)}
    </div>
  );
}

/** A plain text field until the editor has arrived, so that typing can begin at once. */
function EditorBox({ name, text, given, onChange, onRun, onFocus }: QueryRowProps) {
  const host = useRef<HTMLDivElement>(null);
  const plain = useRef<HTMLTextAreaElement>(null);
  const editor = useRef<Editor | null>(null);
  const ready = useSignal(false);
  // The editor is made once; it calls what the latest drawing gave it.
  const latest = useRef({ text, onChange, onRun, onFocus });
  latest.current = { text, onChange, onRun, onFocus };
  const label = `Query ${name}`;

  useEffect(() => {
    let gone = false;
    void import('./editor').then(({ createEditor }) => {
      if (gone || !host.current) return;
      const focused = document.activeElement === plain.current;
      const made = createEditor(host.current, latest.current.text, {
        label,
        onChange: (next) => latest.current.onChange(next),
        onRun: () => latest.current.onRun(),
        onFocus: () => latest.current.onFocus(made),
      });
      editor.current = made;
      latest.current.onFocus(made);
      ready.value = true;
      if (focused) made.focus();
    });
    return () => {
      gone = true;
      editor.current?.destroy();
      editor.current = null;
    };
  }, [label, ready]);

  // Not on every change of `text`: an echo of fast typing would undo what was typed since.
  useEffect(() => editor.current?.set(latest.current.text), [given]);

  return (
    <div class="editor">
      <div ref={host} />
      {!ready.value && (
        <textarea
          ref={plain}
          aria-label={label}
          rows={1}
          spellcheck={false}
          value={text}
          onInput={(event) => onChange(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== 'Enter' || event.shiftKey) return;
            event.preventDefault();
            onRun();
          }}
        />
      )}
    </div>
  );
}
