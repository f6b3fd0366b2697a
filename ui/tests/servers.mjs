/**
 * The Overview with registered servers in a real Chromium: light, dark and 390 px wide.
 *
 *   node tests/servers.mjs --url http://127.0.0.1:9090 --shots DIR --up one,two [--down three]
 *
 * Fails when a server that is up has no figures, one that is out of reach does not say why and since when, the page of a
 * server shows another one's figures, something moves at the second visit, or axe finds something serious.
 */

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const { values: args } = parseArgs({
  options: {
    url: { type: 'string', default: 'http://127.0.0.1:9090' },
    shots: { type: 'string', default: 'shots' },
    up: { type: 'string', default: '' },
    down: { type: 'string', default: '' },
  },
});
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const LOOKS = [
  { name: 'light', viewport: { width: 1440, height: 1000 }, colorScheme: 'light' },
  { name: 'dark', viewport: { width: 1440, height: 1000 }, colorScheme: 'dark' },
  { name: 'phone', viewport: { width: 390, height: 844 }, colorScheme: 'light' },
];
const up = args.up.split(',').filter(Boolean);
const down = args.down.split(',').filter(Boolean);

let passed = 0;
let failed = 0;

function check(name, good, detail = '') {
  if (good) passed += 1;
  else failed += 1;
  console.log(`${good ? 'ok    ' : 'FAILED'} ${name}${detail === '' ? '' : `: ${detail}`}`);
}

/** Charts and cards that moved after they were there, in the page. */
function watchInside() {
  window.moved = [];
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      for (const { node } of entry.sources ?? []) {
        const panel = node instanceof Element ? node.closest('[data-panel], [data-card]') : null;
        if (panel) window.moved.push(panel.className);
      }
    }
  }).observe({ type: 'layout-shift', buffered: true });
}

async function overview(browser, look) {
  const label = `servers ${look.name}`;
  const { viewport, colorScheme } = look;
  const context = await browser.newContext({ viewport, colorScheme });
  const page = await context.newPage();
  const problems = [];
  page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
  page.on('pageerror', (error) => problems.push(String(error.stack)));
  await page.addInitScript(watchInside);
  await page.goto(args.url);
  const row = (name) => page.locator(`.servers tr[data-server="${name}"]`);
  for (const name of up) {
    await row(name).locator('.words', { hasText: /\d/ }).nth(2).waitFor({ timeout: 20_000 });
    const words = await row(name).locator('.words').allTextContents();
    check(
      `${label}: ${name} has figures`,
      words.every((text) => /\d/.test(text)),
      words.join(', '),
    );
  }
  for (const name of down) {
    const why = row(name).locator('.why');
    await why.waitFor({ timeout: 20_000 });
    const text = await why.textContent();
    check(
      `${label}: ${name} says why, and since when`,
      /out of reach for \d.*: \S/.test(text),
      text,
    );
  }
  const local = page.locator('.servers tbody tr').first();
  check(`${label}: this machine is first`, (await local.getAttribute('class')) === 'shown');
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  check(`${label}: nothing sticks out sideways`, wide <= 0, `${wide} px`);
  // The second visit knows how much room the rows take.
  await page.goto(args.url);
  await local.waitFor();
  await page.locator('[data-panel="cpu"] canvas').first().waitFor({ timeout: 30_000 });
  await page.waitForTimeout(1_000);
  const moved = await page.evaluate(() => window.moved);
  check(`${label}: nothing moves at the second visit`, moved.length === 0, moved.join(', '));
  await page.evaluate(AXE);
  const found = await page.evaluate(() =>
    window.axe.run(document, { resultTypes: ['violations'] }),
  );
  const serious = found.violations.filter((v) => v.impact === 'serious' || v.impact === 'critical');
  const words = serious.map((v) => `${v.id}: ${v.nodes[0].html.slice(0, 120)}`);
  check(`${label}: axe finds nothing serious`, serious.length === 0, words.join(' | '));
  const state = down.length > 0 ? 'servers-down' : 'servers';
  await page.screenshot({ path: `${args.shots}/${state}-${look.name}.png` });
  if (up.length > 0) await chosen(label, page, up[0]);
  check(`${label}: no console error`, problems.length === 0, problems.join(' | '));
  await context.close();
}

/** A server's own page is asked of that server alone. */
async function chosen(label, page, name) {
  const asked = page.waitForRequest(
    (request) =>
      request.url().includes('query_range') &&
      decodeURIComponent(`${request.url()} ${request.postData() ?? ''}`).includes(
        `server="${name}"`,
      ),
  );
  await page.locator(`.servers tr[data-server="${name}"] a`).click();
  await asked;
  await page.waitForFunction((want) => document.title.startsWith(want), name);
  const picked = await page.locator('select[aria-label="Server"]').inputValue();
  check(`${label}: the picker shows ${name}`, picked.endsWith(`@${name}`), picked);
  await page.locator('[data-panel="memory"] canvas').first().waitFor({ timeout: 30_000 });
  await page.screenshot({ path: `${args.shots}/server-chosen.png` });
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-sync'],
});
for (const look of LOOKS) {
  await overview(browser, look).catch((error) =>
    check(`servers ${look.name}`, false, String(error)),
  );
}
await browser.close();
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
