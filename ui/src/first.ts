/** The question of the Overview's first chart, asked before there is a page. */

import { PANELS } from './pages/overview_panels';
import { askAhead } from './questions';

/** A slow answer does not hold up the page: after so long it is drawn without. */
const LONGEST_WAIT_MS = 60;

/**
 * Asks at about the width that the chart will have. The promise ends with the answer, so that the page is drawn once, with
 * its chart, instead of twice.
 */
export async function askFirst(): Promise<void> {
  const first = PANELS.find((spec) => spec.first);
  if (!first) return;
  const columns = window.innerWidth < 700 ? 1 : 2;
  const asked = askAhead(first, Math.min(window.innerWidth, 1700) / columns - 60);
  await Promise.race([asked, new Promise((done) => setTimeout(done, LONGEST_WAIT_MS))]);
}
