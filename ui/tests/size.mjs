/**
 * What a first visit downloads, compressed: the page, and the scripts and styles that it names.
 * Fails over 80 kB. Parts that load later (Explore, the editor) are listed beside it.
 */

import { readdirSync, readFileSync, statSync } from 'node:fs';

const LIMIT_BYTES = 80_000;
const dist = new URL('../dist/', import.meta.url);

const html = readFileSync(new URL('index.html', dist), 'utf8');
const first = [...html.matchAll(/(?:src|href)="\/(assets\/[^"]+\.(?:js|css|svg))"/g)].map(
  (found) => found[1],
);
const size = (name) => statSync(new URL(`${name}.gz`, dist)).size;

let total = 0;
for (const name of ['index.html', ...first]) {
  total += size(name);
  console.log(`${String(size(name)).padStart(8)}  ${name}`);
}
for (const name of readdirSync(new URL('assets/', dist))) {
  const path = `assets/${name}`;
  if (/\.(js|css)$/.test(name) && !first.includes(path))
    console.log(`${String(size(path)).padStart(8)}  ${path} (later)`);
}
console.log(`first load ${total} bytes of at most ${LIMIT_BYTES}`);
if (first.length < 2 || total > LIMIT_BYTES) process.exitCode = 1;
