/**
 * The PromQL editor: completion from the server, errors underlined, loaded only where it is used.
 *
 * It lives in a shadow root. CodeMirror then adds its styles as constructed style sheets, which a
 * content security policy without 'unsafe-inline' allows; in the document it would add `<style>`.
 */

import {
  autocompletion,
  closeBrackets,
  closeBracketsKeymap,
  completionKeymap,
  completionStatus,
} from '@codemirror/autocomplete';
import {
  defaultKeymap,
  history,
  historyKeymap,
  insertNewlineAndIndent,
} from '@codemirror/commands';
import { bracketMatching, HighlightStyle, syntaxHighlighting } from '@codemirror/language';
import { EditorState, type Extension, Prec } from '@codemirror/state';
import { EditorView, keymap, placeholder } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import { PromQLExtension } from '@prometheus-io/codemirror-promql';

export interface EditorEvents {
  label: string;
  onChange: (text: string) => void;
  onRun: () => void;
  onFocus: () => void;
}

export interface Editor {
  set: (text: string) => void;
  insert: (text: string) => void;
  focus: () => void;
  destroy: () => void;
}

const colours = HighlightStyle.define([
  { tag: tags.keyword, color: 'var(--code-keyword)' },
  { tag: tags.operatorKeyword, color: 'var(--code-keyword)' },
  { tag: tags.function(tags.variableName), color: 'var(--code-keyword)' },
  { tag: tags.constant(tags.variableName), color: 'var(--text)' },
  { tag: tags.labelName, color: 'var(--code-label)' },
  { tag: tags.string, color: 'var(--code-string)' },
  { tag: tags.number, color: 'var(--code-number)' },
  { tag: tags.comment, color: 'var(--quiet)', fontStyle: 'italic' },
  { tag: tags.invalid, color: 'var(--bad)' },
]);

const look = EditorView.theme({
  '&': { fontSize: '13px', color: 'var(--text)' },
  '&.cm-focused': { outline: 'none' },
  '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '20px' },
  '.cm-content': { padding: '7px 0', caretColor: 'var(--text)' },
  '.cm-line': { padding: '0 10px' },
  '.cm-placeholder': { color: 'var(--quiet)' },
  '.cm-matchingBracket': { backgroundColor: 'var(--accent-ground)', outline: 'none' },
  '.cm-selectionBackground, &.cm-focused .cm-selectionBackground': {
    backgroundColor: 'var(--accent-ground) !important',
  },
  '.cm-tooltip': {
    border: '1px solid var(--line-strong)',
    borderRadius: '6px',
    backgroundColor: 'var(--raised)',
    color: 'var(--text)',
    boxShadow: 'var(--shadow)',
    overflow: 'hidden',
  },
  '.cm-tooltip.cm-tooltip-autocomplete > ul': { fontFamily: 'var(--mono)', maxHeight: '280px' },
  '.cm-tooltip.cm-tooltip-autocomplete > ul > li': { padding: '2px 10px', lineHeight: '20px' },
  '.cm-tooltip-autocomplete ul li[aria-selected]': {
    backgroundColor: 'var(--accent-ground)',
    color: 'var(--text)',
  },
  '.cm-completionMatchedText': { textDecoration: 'none', fontWeight: '700' },
  '.cm-completionDetail': { color: 'var(--quiet)', fontStyle: 'normal', marginLeft: '12px' },
  '.cm-completionInfo': { padding: '8px 12px', maxWidth: '360px', font: '12px/18px system-ui' },
  '.cm-diagnostic': { padding: '4px 10px', font: '12px/18px system-ui', borderLeftWidth: '3px' },
});

function keys(events: EditorEvents): Extension {
  const run = (): boolean => {
    events.onRun();
    return true;
  };
  return Prec.highest(
    keymap.of([
      // With the list of completions open, Enter takes one of them.
      { key: 'Enter', run: (view) => completionStatus(view.state) !== 'active' && run() },
      { key: 'Mod-Enter', run },
      { key: 'Shift-Enter', run: insertNewlineAndIndent },
    ]),
  );
}

export function createEditor(host: HTMLElement, text: string, events: EditorEvents): Editor {
  const root = host.shadowRoot ?? host.attachShadow({ mode: 'open' });
  const language = new PromQLExtension().setComplete({ remote: { url: '', httpMethod: 'GET' } });
  const view = new EditorView({
    root,
    parent: root,
    state: EditorState.create({
      doc: text,
      extensions: [
        keys(events),
        language.asExtension(),
        look,
        syntaxHighlighting(colours),
        history(),
        bracketMatching(),
        closeBrackets(),
        autocompletion({ icons: false }),
        placeholder('A PromQL query, such as rate(node_cpu_seconds_total[5m])'),
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({ 'aria-label': events.label }),
        EditorView.domEventHandlers({ focus: () => events.onFocus() }),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) events.onChange(update.state.doc.toString());
        }),
        keymap.of([
          ...closeBracketsKeymap,
          ...completionKeymap,
          ...historyKeymap,
          ...defaultKeymap,
        ]),
      ],
    }),
  });
  return {
    set(next) {
      const length = view.state.doc.length;
      if (next !== view.state.doc.toString())
        view.dispatch({ changes: { from: 0, to: length, insert: next } });
    },
    insert(next) {
      view.dispatch(view.state.replaceSelection(next));
      view.focus();
    },
    focus: () => view.focus(),
    destroy() {
      view.destroy();
      language.destroy();
    },
  };
}
