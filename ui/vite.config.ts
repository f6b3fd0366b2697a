/**
 * The build: one page with hashed assets and, beside each, its gzip form, so that the server can
 * hand out compressed bytes without compressing anything itself.
 *
 * `MASTHEAD_API` names the server that development and preview talk to. Preview sends the same
 * content security policy as the real server, so that a violation shows before the page is embedded.
 */

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { defineConfig, type Plugin } from 'vite';

const API = process.env.MASTHEAD_API ?? 'http://127.0.0.1:9090';

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "font-src 'self'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join('; ');

function gzipBeside(): Plugin {
  let out = '';
  return {
    name: 'gzip-beside',
    apply: 'build',
    configResolved(config) {
      out = join(config.root, config.build.outDir);
    },
    closeBundle() {
      for (const entry of readdirSync(out, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || !/\.(html|js|css|svg)$/.test(entry.name)) continue;
        const path = join(entry.parentPath, entry.name);
        writeFileSync(`${path}.gz`, gzipSync(readFileSync(path), { level: 9 }));
      }
    },
  };
}

/**
 * uPlot asks the browser for two formatters while it is loaded, which costs 35 ms of a first visit (the browser reads its
 * tables of languages then), and which it uses only for labels that we write ourselves. Here they are asked for at their first use.
 */
function lazyFormatters(): Plugin {
  const LAZY: [string, string][] = [
    [
      "const numFormatter = new Intl.NumberFormat(domEnv ? nav.language : 'en-US');\nconst fmtNum = val => numFormatter.format(val);",
      "let numFormatter;\nconst fmtNum = val => (numFormatter ??= new Intl.NumberFormat(domEnv ? nav.language : 'en-US')).format(val);",
    ],
    ['const localTz = new Intl.DateTimeFormat().resolvedOptions().timeZone;', 'let localTz;'],
    ['tz == localTz', 'tz == (localTz ??= new Intl.DateTimeFormat().resolvedOptions().timeZone)'],
  ];
  return {
    name: 'lazy-formatters',
    transform(code, id) {
      if (!id.includes('uPlot.esm.js')) return null;
      return LAZY.reduce((text, [from, to]) => {
        if (!text.includes(from))
          this.error(`uPlot no longer holds ${JSON.stringify(from)}: look at lazyFormatters again`);
        return text.replaceAll(from, to);
      }, code);
    },
  };
}

/**
 * Names the scripts that draw the page beside its entry, so that the browser loads and compiles them side by side, while the
 * entry asks the first question. Fails when a part of the drawing has slipped into the entry, which would wait for it.
 */
function preloadStart(): Plugin {
  return {
    name: 'preload-start',
    transformIndexHtml: {
      order: 'post',
      handler(_, { bundle, chunk: entry }) {
        const drawing =
          entry && Object.keys(entry.modules).filter((id) => /\/(preact|uplot)\/.*js$/.test(id));
        if (drawing && drawing.length > 0) throw new Error(`the entry holds ${drawing.join(', ')}`);
        const start = bundle?.[entry?.dynamicImports[0] ?? ''];
        if (!entry || start?.type !== 'chunk') return [];
        return [start.fileName, ...start.imports]
          .filter((name) => name !== entry.fileName)
          .map((name) => ({
            tag: 'link',
            attrs: { rel: 'modulepreload', crossorigin: true, href: `/${name}` },
            injectTo: 'head' as const,
          }));
      },
    },
  };
}

export default defineConfig({
  plugins: [lazyFormatters(), preloadStart(), gzipBeside()],
  build: {
    target: 'es2022',
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    rollupOptions: { output: { manualChunks: { plot: ['uplot'] } } },
  },
  server: { proxy: { '/api': API } },
  preview: {
    proxy: { '/api': API },
    headers: { 'Content-Security-Policy': POLICY },
  },
});
