/**
 * The pages in a real Chromium against a running server with real data: light, dark and 390 px wide.
 *
 *   node tests/browser.mjs --url http://127.0.0.1:9090 --shots DIR [--refreshes 120] [--only memory]
 *
 * Fails on a console error, an exception, a breach of the content security policy, a serious finding
 * of axe, a shift of what was loaded, an empty chart, or memory that grows with refreshes. The server
 * needs at least one minute of host metrics. Chromium is looked for in $CHROMIUM, then /usr/bin/chromium.
 */

import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const { values: args } = parseArgs({
  options: {
    url: { type: 'string', default: 'http://127.0.0.1:9090' },
    shots: { type: 'string', default: 'shots' },
    refreshes: { type: 'string', default: '120' },
    only: { type: 'string', default: '' },
  },
});
const BASE = args.url.replace(/\/$/, '');
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const LOOKS = [
  { name: 'light', viewport: { width: 1440, height: 1000 }, colorScheme: 'light' },
  { name: 'dark', viewport: { width: 1440, height: 1000 }, colorScheme: 'dark' },
  { name: 'phone', viewport: { width: 390, height: 844 }, colorScheme: 'light' },
];
/** Panels that every Linux host fills; the others may explain why they are empty. */
const ALWAYS = ['cpu', 'memory', 'load'];
const HEAP_LIMIT_BYTES = 3_000_000;

let passed = 0;
let failed = 0;

function check(name, good, detail = '') {
  if (good) passed += 1;
  else failed += 1;
  console.log(`${good ? 'ok    ' : 'FAILED'} ${name}${detail === '' ? '' : `: ${detail}`}`);
}

function inMs(times) {
  return `${times.map((ms) => ms.toFixed(0)).join(', ')} ms`;
}

function measured(name, value) {
  console.log(`       ${name}: ${value}`);
}

/** Runs in the page before its own scripts: collects what only the page itself can see. */
function watchInside() {
  window.seen = { policy: [], shifts: [], firstChart: null };
  document.addEventListener('securitypolicyviolation', (event) => {
    window.seen.policy.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`);
  });
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      if (entry.hadRecentInput) continue;
      for (const { node } of entry.sources ?? []) {
        const panel =
          node instanceof Element ? node.closest('[data-panel], [data-card], .output') : null;
        if (panel)
          window.seen.shifts.push({
            value: entry.value,
            node: panel.className,
            at: entry.startTime,
          });
      }
    }
  }).observe({ type: 'layout-shift', buffered: true });
  new MutationObserver((_, self) => {
    if (!document.querySelector('.plot canvas')) return;
    requestAnimationFrame(() => {
      window.seen.firstChart = performance.now();
    });
    self.disconnect();
  }).observe(document, { childList: true, subtree: true });
}

async function open(browser, look, path) {
  const context = await browser.newContext({
    viewport: look.viewport,
    colorScheme: look.colorScheme,
  });
  const page = await context.newPage();
  const problems = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') problems.push(message.text());
  });
  page.on('pageerror', (error) => problems.push(String(error.stack)));
  await page.addInitScript(watchInside);
  await page.goto(BASE + path);
  return { context, page, problems };
}

/** What must be true of every page when it is left. */
async function closing(label, { context, page, problems }) {
  const seen = await page.evaluate(() => window.seen);
  check(`${label}: no console error`, problems.length === 0, problems.join(' | '));
  check(
    `${label}: content security policy holds`,
    seen.policy.length === 0,
    seen.policy.join(' | '),
  );
  const moved = seen.shifts.filter((shift) => shift.at > (seen.firstChart ?? 0));
  check(
    `${label}: loaded charts do not move`,
    moved.length === 0,
    JSON.stringify(moved.slice(0, 3)),
  );
  await context.close();
}

async function axe(label, page) {
  await page.evaluate(AXE);
  const found = await page.evaluate(() =>
    window.axe.run(document, { resultTypes: ['violations'] }),
  );
  const serious = found.violations.filter((v) => v.impact === 'serious' || v.impact === 'critical');
  const words = serious.map((v) => `${v.id} (${v.nodes.length}: ${v.nodes[0].html.slice(0, 120)})`);
  check(`${label}: axe finds nothing serious`, serious.length === 0, words.join(' | '));
}

/** Counts pixels with colour: axes and grid are grey, so these belong to lines. */
function colouredPixels(canvas) {
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let i = 0; i < data.length; i += 4) {
    const [r, g, b, a] = [data[i], data[i + 1], data[i + 2], data[i + 3]];
    if (a > 60 && Math.max(r, g, b) - Math.min(r, g, b) > 30) count += 1;
  }
  return count;
}

async function checkPanels(label, page) {
  const ids = await page.$$eval('[data-panel]', (nodes) => nodes.map((node) => node.dataset.panel));
  check(`${label}: all panels are there`, ids.length === 7, ids.join(' '));
  for (const id of ids) {
    const panel = page.locator(`[data-panel="${id}"]`);
    await panel.scrollIntoViewIfNeeded();
    const drawn = panel.locator('canvas');
    await drawn.or(panel.locator('.void p')).first().waitFor({ timeout: 10_000 });
    if (!ALWAYS.includes(id) && (await drawn.count()) === 0) {
      const why = await panel.locator('.void p').textContent();
      check(`${label}: ${id} explains why it is empty`, why.length > 20, why);
      continue;
    }
    const pixels = await drawn.evaluate(colouredPixels);
    check(`${label}: ${id} has drawn its lines`, pixels > 20, `${pixels} coloured pixels`);
  }
  await page.evaluate(() => window.scrollTo(0, 0));
}

async function overview(browser, look) {
  const label = `overview ${look.name}`;
  // Five minutes: a server of one minute has drawn a fifth of the width, enough for the flat line of a quiet network.
  const visit = await open(browser, look, '/?range=5m');
  const { page } = visit;
  await page.locator('[data-panel="cpu"] canvas').waitFor();
  await checkPanels(label, page);
  const health = await page.locator('.health').textContent();
  check(
    `${label}: the health line says something`,
    health.length > 3 && health !== 'Checking',
    health,
  );
  const cards = await page.$$eval('.card .value', (nodes) => nodes.map((node) => node.textContent));
  const full = cards.length === 4 && cards.slice(0, 3).every((text) => text !== '–');
  check(`${label}: cards have values`, full, cards.join(' / '));
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  check(`${label}: nothing sticks out sideways`, wide <= 0, `${wide} px`);
  await axe(label, page);
  await page.screenshot({ path: `${args.shots}/overview-${look.name}.png` });
  await closing(label, visit);
}

async function explore(browser, look) {
  const label = `explore ${look.name}`;
  const visit = await open(browser, look, '/explore?range=15m');
  const { page, problems } = visit;
  const editor = page.locator('.editor .cm-content');
  await editor.click();
  await page.keyboard.type('node_lo');
  await page.locator('.cm-tooltip-autocomplete li').first().waitFor();
  const offered = await page.locator('.cm-tooltip-autocomplete').textContent();
  check(
    `${label}: completion offers metrics`,
    offered.includes('node_load15'),
    offered.slice(0, 60),
  );
  await page.keyboard.press('Escape');
  await editor.fill('node_load1 + on (job, instance) node_load5');
  await page.keyboard.press('Escape');
  await page.keyboard.press('Enter');
  await page.locator('.output canvas').waitFor();
  const pixels = await page.locator('.output canvas').evaluate(colouredPixels);
  check(`${label}: a typed query is drawn`, pixels > 20, `${pixels} coloured pixels`);
  const cost = await page.locator('.cost').first().textContent();
  check(`${label}: its cost is shown`, /ms · \d+ series/.test(cost), cost);
  await page.screenshot({ path: `${args.shots}/explore-${look.name}.png` });
  await axe(label, page);

  await page.getByRole('tab', { name: 'Table' }).click();
  await page.locator('.results tbody tr').first().waitFor();
  const row = await page.locator('.results tbody tr').first().textContent();
  check(`${label}: the table has its value`, /\d/.test(row), row.replace(/\s+/g, ' '));
  const link = page.url();
  await page.reload();
  await page.locator('.results tbody tr').first().waitFor();
  check(`${label}: the link shows the same after a reload`, page.url() === link, link);
  await page.goBack();
  await page.locator('.output canvas').waitFor();
  check(`${label}: back shows the graph again`, !page.url().includes('tab=table'), page.url());

  check(`${label}: quiet until here`, problems.length === 0, problems.join(' | '));
  await page.locator('.editor .cm-content').fill('sum(node_load1');
  await page.keyboard.press('Escape');
  await page.keyboard.press('Control+Enter');
  const error = page.locator('.query .note.bad');
  await error.waitFor();
  const text = await error.textContent();
  check(
    `${label}: a broken query shows the server's error`,
    /pars|expect|unclosed|unexpected/i.test(text),
    text,
  );
  // The browser itself reports the status 400 of the broken query; that one is wanted.
  const others = problems.filter((problem) => !/status of 400/.test(problem));
  problems.length = 0;
  problems.push(...others);
  await closing(label, visit);
}

/** The pages of plain tables: each has rows, in every look. */
async function sheet(browser, look, name, selector) {
  const label = `${name} ${look.name}`;
  const visit = await open(browser, look, `/${name}`);
  const { page } = visit;
  await page.locator(selector).first().waitFor();
  const rows = await page.locator(selector).count();
  check(`${label}: has its rows`, rows > 0, `${rows}`);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  check(`${label}: nothing sticks out sideways`, wide <= 0, `${wide} px`);
  await axe(label, page);
  await page.screenshot({ path: `${args.shots}/${name}-${look.name}.png` });
  await closing(label, visit);
}

/** Drag, back, shared cursor, search, theme: what a person does with the mouse and the keyboard. */
async function manners(browser) {
  const visit = await open(browser, LOOKS[0], '/?range=15m');
  const { page } = visit;
  const plot = page.locator('[data-panel="cpu"] .u-over');
  await plot.waitFor();
  const box = await plot.boundingBox();
  const y = box.y + box.height / 2;
  await page.mouse.move(box.x + box.width * 0.6, y);
  await page.mouse.move(box.x + box.width * 0.7, y);
  const times = await page.$$eval('.legend thead time', (nodes) =>
    nodes.map((node) => node.textContent),
  );
  check('manners: the cursor is shared by all charts', times.length > 1, times.join(' '));
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.95, y, { steps: 5 });
  await page.mouse.up();
  await page.waitForURL(/from=\d+&to=\d+/);
  check('manners: a drag sets the range in the URL', true, page.url());
  const zoomed = page.url();
  await page.reload();
  await plot.waitFor();
  check('manners: a zoomed link survives a reload', page.url() === zoomed);
  await plot.dblclick();
  await page.waitForURL(/range=15m/);
  check('manners: a double click goes back', true, page.url());

  const first = page.locator('[data-panel="load"] .legend tbody button').first();
  await first.scrollIntoViewIfNeeded();
  await first.click();
  const off = await page.locator('[data-panel="load"] .legend tr.off').count();
  check('manners: a click isolates one line', off === 2, `${off} others are faint`);

  await page.keyboard.press('/');
  await page.locator('dialog.search input').fill('node_load15');
  await page
    .getByRole('option', { name: /node_load15/ })
    .first()
    .waitFor();
  await page.keyboard.press('Enter');
  await page.waitForURL(/explore\?.*q=node_load15/);
  check('manners: the search finds a metric', true, page.url());
  await page.locator('.output canvas').waitFor();
  await page.getByRole('button', { name: /^Theme/ }).click();
  await page.getByRole('button', { name: /^Theme/ }).click();
  const dark = await page.evaluate(() => document.documentElement.dataset.theme);
  check('manners: the theme switch reaches dark', dark === 'dark', dark);
  await page.keyboard.press('Control+Home');
  await page.locator('.range-open').click();
  await page.locator('.presets button', { hasText: '6h' }).click();
  check('manners: a preset sets the range', page.url().includes('range=6h'), page.url());
  await closing('manners', visit);
}

/** Answers that a healthy server does not give are put in its place: a fresh start, and a failure. */
async function bad(browser) {
  const visit = await open(browser, LOOKS[0], '/?range=15m&refresh=1s');
  const { page, problems } = visit;
  await page.locator('[data-panel="cpu"] canvas').waitFor();
  const failure = { status: 'error', errorType: 'execution', error: 'storage is on fire' };
  await page.route('**/api/v1/query_range', (route) =>
    route.fulfill({ status: 422, json: failure }),
  );
  const note = page.locator('[data-panel="cpu"] .note.bad');
  await note.waitFor();
  check(
    'bad: an error stands in its panel',
    (await note.textContent()).includes('storage is on fire'),
  );
  check('bad: the old lines stay', (await page.locator('[data-panel="cpu"] canvas').count()) === 1);
  await page.unroute('**/api/v1/query_range');
  await note.waitFor({ state: 'detached' });
  check('bad: the panel recovers with the next refresh', true);

  const empty = { status: 'success', data: { resultType: 'matrix', result: [] } };
  await page.route('**/api/v1/query*', (route) => route.fulfill({ json: empty }));
  await page.route('**/api/v1/series*', (route) =>
    route.fulfill({ json: { status: 'success', data: [] } }),
  );
  await page.route('**/api/v1/status/runtimeinfo', (route) =>
    route.fulfill({ json: { status: 'success', data: { startTime: new Date().toISOString() } } }),
  );
  await page.reload();
  const words = page.locator('.health', { hasText: /First points in \d+ s/ });
  await words.waitFor();
  check('bad: a fresh server says when points come', true, await words.textContent());
  await page.locator('[data-panel="cpu"] .void', { hasText: /First points/ }).waitFor();
  check('bad: so do its panels', true);
  const others = problems.filter((problem) => !/status of 422/.test(problem));
  problems.length = 0;
  problems.push(...others);
  await closing('bad', visit);
}

/** The time to the first chart for somebody who has never been here: nothing of ours is in the browser's cache. */
async function firstVisit(browser) {
  const context = await browser.newContext({ viewport: LOOKS[0].viewport });
  const page = await context.newPage();
  await page.addInitScript(watchInside);
  await page.goto(`${BASE}/?range=1h`);
  await page.waitForFunction(() => window.seen.firstChart !== null);
  const time = await page.evaluate(() => window.seen.firstChart);
  await context.close();
  return time;
}

async function cost(browser) {
  const context = await browser.newContext({ viewport: LOOKS[0].viewport });
  const page = await context.newPage();
  await page.addInitScript(watchInside);
  const client = await context.newCDPSession(page);
  await client.send('Network.enable');
  const urls = new Map();
  let bytes = 0;
  client.on('Network.responseReceived', (e) => urls.set(e.requestId, e.response.url));
  client.on('Network.loadingFinished', (e) => {
    if (!(urls.get(e.requestId) ?? '').includes('/api/')) bytes += e.encodedDataLength;
  });
  // The browser's own start (processes, fonts) is no part of ours, so the first of these is printed apart.
  const first = [];
  for (let i = 0; i < 6; i += 1) first.push(await firstVisit(browser));
  const [started = 0, ...cold] = first;
  await page.goto(`${BASE}/?range=1h`);
  await page.waitForFunction(() => window.seen.firstChart !== null);
  const warm = [];
  for (let i = 0; i < 5; i += 1) {
    await page.reload();
    await page.waitForFunction(() => window.seen.firstChart !== null);
    warm.push(await page.evaluate(() => window.seen.firstChart));
  }
  // Times depend on what else the machine does, so they are printed and not judged.
  measured('first chart, first visits', `${inMs(cold)} (wanted: 300)`);
  measured('first chart, first visit of a browser just started', inMs([started]));
  measured('first chart, later visits', inMs(warm));
  measured(
    'first load with headers',
    `${bytes} bytes as served, five reloads included where not cached`,
  );
  check(
    'cost: a first chart comes on every visit',
    [...first, ...warm].every((ms) => ms > 0),
  );
  await context.close();
}

/** Refreshes run by a clock of the test's own, so that hours pass in seconds. */
async function memory(browser) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 1600 } });
  const page = await context.newPage();
  await page.clock.install();
  const client = await context.newCDPSession(page);
  await page.goto(`${BASE}/?range=15m`);
  await page.locator('[data-panel="load"] canvas').waitFor();
  const heap = async () => {
    await client.send('HeapProfiler.collectGarbage');
    const { usedSize } = await client.send('Runtime.getHeapUsage');
    const { nodes } = await client.send('Memory.getDOMCounters');
    return { usedSize, nodes };
  };
  const pass = async (count) => {
    for (let i = 0; i < count; i += 1) {
      const answered = page.waitForResponse((response) => response.url().includes('query_range'));
      await page.clock.runFor(15_000);
      await answered;
      await page.waitForLoadState('networkidle');
    }
  };
  await pass(20);
  const before = await heap();
  const count = Number(args.refreshes);
  await pass(count);
  const after = await heap();
  const grown = after.usedSize - before.usedSize;
  measured(
    'heap',
    `${(before.usedSize / 1e6).toFixed(2)} MB, after ${count} refreshes ${(after.usedSize / 1e6).toFixed(2)} MB`,
  );
  measured('DOM nodes', `${before.nodes}, then ${after.nodes}`);
  check(
    'memory: stays flat over refreshes',
    grown < HEAP_LIMIT_BYTES,
    `${(grown / 1e3).toFixed(0)} kB more`,
  );
  check(
    'memory: no node is left behind',
    after.nodes - before.nodes < 200,
    `${after.nodes - before.nodes} more`,
  );
  await context.close();
}

async function step(name, run) {
  if (!name.includes(args.only)) return;
  try {
    await run();
  } catch (error) {
    check(`${name}: ran to its end`, false, String(error).split('\n').slice(0, 6).join(' '));
  }
}

mkdirSync(args.shots, { recursive: true });
// A page that spins cannot be asked anything, so the run as a whole has an end.
setTimeout(() => {
  console.log(`${passed} passed, ${failed + 1} failed, 0 skipped: not finished within 5 minutes`);
  process.exit(1);
}, 300_000).unref();
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
});
for (const look of LOOKS) {
  await step(`overview ${look.name}`, () => overview(browser, look));
  await step(`explore ${look.name}`, () => explore(browser, look));
  await step(`targets ${look.name}`, () => sheet(browser, look, 'targets', '.sheet .state'));
  await step(`status ${look.name}`, () => sheet(browser, look, 'status', '.sheet tbody tr'));
}
await step('manners', () => manners(browser));
await step('bad', () => bad(browser));
await step('cost', () => cost(browser));
await step('memory', () => memory(browser));
await browser.close();
console.log(`${passed} passed, ${failed} failed, 0 skipped`);
process.exitCode = failed === 0 ? 0 : 1;
