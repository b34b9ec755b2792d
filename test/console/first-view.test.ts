/**
 * The first view with a thousand interfaces: what the page fetches, how much it draws, and how long that took here.
 *
 * Times are printed with the load and not compared with anything: no limit is right on every machine. What they come
 * from is: answers that are packed and made once, and elements that are drawn.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { brotliDecompressSync } from 'node:zlib';
import type { Browser } from 'puppeteer-core';
import type { MapView } from '../../src/console/contract.ts';
import { openBrowser, requireBrowser } from '../support/browser.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { manyInterfaces } from './many-interfaces.ts';
import { startConsole } from './page-world.ts';
import { sendTo } from './world.ts';

/** Of all that is fetched until the map is there. */
const BYTES_MAX = 300_000;
const RUNS = 5;

interface Seen {
  /** From the click on the address until the map is drawn, ms. */
  readonly drawnMs: number;
  /** Until the answer with the map was read. */
  readonly answeredMs: number;
  /** Bytes on the wire, all answers. */
  readonly bytes: number;
  readonly elements: number;
  readonly nodes: number;
  readonly names: number;
}

test('the first view of a thousand interfaces', async (t) => {
  if (!requireBrowser(t)) return;
  const browser = await openBrowser(t);
  await t.test('in 40 groups', (part) => look(part, browser, 40, 25));
  await t.test('each with a group of its own', (part) => look(part, browser, 1000, 1));
});

async function look(
  t: TestContext,
  browser: Browser,
  kinds: number,
  ofAKind: number,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-first-view-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'many.yaml');
  writeFileSync(file, manyInterfaces(kinds, ofAKind));
  const { url, port, token } = await startConsole(t, file);
  const runs: Seen[] = [];
  for (let i = 0; i < RUNS; i++) runs.push(await firstView(browser, url));
  const [{ bytes, nodes, elements, names: namesDrawn }] = runs;
  // And whoever the rules let in.
  assert.ok(nodes >= kinds, `${nodes} nodes`);
  assert.ok(bytes <= BYTES_MAX, `${bytes} bytes`);
  // What nobody could read is not drawn until the reader comes near.
  const isTiny = kinds > 200;
  assert.equal(namesDrawn, isTiny ? 0 : nodes);
  if (isTiny) assert.ok(elements < 4 * nodes, `${elements} elements`);
  await comeNear(browser, url);
  const authorization = `Bearer ${token}`;
  const asked = { path: '/api/map', headers: { authorization, 'accept-encoding': 'gzip, br' } };
  const { headers, body } = await sendTo(port, asked);
  assert.equal(headers['content-encoding'], 'br');
  const text = brotliDecompressSync(body).toString();
  const map = JSON.parse(text) as MapView;
  const names = map.nodes.flatMap((node) => (node.kind === 'interfaces' ? node.interfaces : []));
  assert.equal(names.length, kinds * ofAKind);
  const middle = (key: 'drawnMs' | 'answeredMs'): number =>
    Math.round(runs.map((run) => run[key]).sort((a, b) => a - b)[Math.floor(RUNS / 2)]);
  t.diagnostic(
    `drawn after ${middle('drawnMs')} ms, the map read after ${middle('answeredMs')} ms (median of ${RUNS}, ` +
      `the first ${Math.round(runs[0].drawnMs)}); ${bytes} bytes fetched, the map ${text.length} unpacked; ` +
      `${nodes} nodes, ${map.edges.length} edges, ${elements} elements; load ${loadavg()[0].toFixed(1)}`,
  );
}

/** Notes in the page when the first nodes were drawn: a frame after they are in the document. */
const WATCH = `
  new MutationObserver((_changes, observer) => {
    if (document.querySelector('.node') === null) return;
    observer.disconnect();
    requestAnimationFrame(() => setTimeout(() => { window.drawnMs = performance.now(); }));
  }).observe(document, { childList: true, subtree: true });`;

async function firstView(browser: Browser, url: string): Promise<Seen> {
  const context = await browser.createBrowserContext();
  try {
    const page = await context.newPage();
    page.setDefaultTimeout(GUARD_MS);
    await page.setViewport({ width: 1440, height: 900 });
    await page.evaluateOnNewDocument(WATCH);
    await page.goto(url, { waitUntil: 'domcontentloaded' });
    await page.waitForFunction('window.drawnMs !== undefined');
    return (await page.evaluate(`(() => {
      const fetched = performance.getEntriesByType('resource');
      const [start] = performance.getEntriesByType('navigation');
      return {
        drawnMs: window.drawnMs,
        answeredMs: fetched.find(({ name }) => name.endsWith('/api/map')).responseEnd,
        bytes: start.transferSize + fetched.reduce((sum, one) => sum + one.transferSize, 0),
        elements: document.querySelectorAll('*').length,
        nodes: document.querySelectorAll('.node').length,
        names: document.querySelectorAll('.node-title').length,
      };
    })()`)) as Seen;
  } finally {
    await context.close();
  }
}

/** Zooms until all nodes have names, whether they are in sight or not. */
async function comeNear(browser: Browser, url: string): Promise<void> {
  const context = await browser.createBrowserContext();
  try {
    const page = await context.newPage();
    page.setDefaultTimeout(GUARD_MS);
    await page.goto(url);
    await page.waitForSelector('.node');
    for (let i = 0; i < 10; i++) await page.keyboard.press('+');
    await page.waitForFunction(`(() => {
      const count = (what) => document.querySelectorAll(what).length;
      return count('.node-title') === count('.node') && count('.edge-hit') === count('.edge-line');
    })()`);
  } finally {
    await context.close();
  }
}
