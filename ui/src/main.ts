/**
 * Entry: asks the first chart's question, while the browser still loads and compiles what draws it. So this file and what
 * it imports stay small: `vite.config.ts` checks that no part of the drawing is among them.
 */

import './style/base.css';
import './style/frame.css';
import './style/panels.css';
import 'uplot/dist/uPlot.min.css';
import { askFirst } from './first';
import { startTheme } from './theme';
import { route } from './url';

const answered = route.peek().path === '/' ? askFirst() : undefined;
startTheme();
import('./start').then(
  async ({ start }) => {
    await answered;
    start();
  },
  () => {
    const words = 'This page could not be loaded. Masthead may have been updated: reload the page.';
    document.getElementById('app')?.append(words);
  },
);
