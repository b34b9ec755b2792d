/**
 * Makes the pictures of the console in docs/images/: brings the demo up as a lab, sends traffic through it, and opens
 * the page in Chromium; then those of the page of secgroup-api. Run by scripts/screenshots, as root.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Browser, Page } from 'puppeteer-core';
import { launchBrowser, waitForText } from '../../test/support/browser.ts';
import { takeApiPictures } from './api-screenshots.ts';
import { DemoLab, LAB, SGCTL } from './demo-lab.ts';

/** Until the charts have something to show. */
const TRAFFIC_FIRST_MS = 90_000;
const SETTLE_MS = 2500;

interface Picture {
  readonly name: string;
  readonly hash: string;
  /** It is ready when it shows this. */
  readonly text: string;
  readonly isDark?: true;
  readonly size?: readonly [width: number, height: number];
  readonly before?: (page: Page) => Promise<unknown>;
}

const PICTURES: readonly Picture[] = [
  { name: 'console-map', hash: '#/map', text: 'dropped' },
  { name: 'console-map-dark', hash: '#/map', text: 'dropped', isDark: true },
  {
    name: 'console-why',
    hash: '#/why?q=eni-web-1+-%3E+eni-db-1+tcp+5432',
    text: 'The nearest rules',
  },
  { name: 'console-live', hash: '#/live', text: 'tcp 8080 from sg:web' },
  {
    name: 'console-draft',
    hash: '#/draft?group=app',
    text: 'securityGroups',
    before: async (page) => {
      await page.click('input[aria-label="Ingress rule 1: ports"]', { count: 3 });
      await page.keyboard.type('22');
      await waitForText(page, 'No longer allowed');
    },
  },
  { name: 'console-matrix', hash: '#/matrix', text: 'Save as CSV' },
  { name: 'console-narrow', hash: '#/map', text: 'dropped', size: [360, 740] },
];
const SIZE = [1280, 800] as const;

const root = resolve(process.argv[2] ?? '.');
const images = join(root, 'docs/images');
mkdirSync(images, { recursive: true });
const folder = mkdtempSync(join(tmpdir(), 'sgd-docs-'));

async function startConsole(): Promise<{ readonly url: string; readonly child: ChildProcess }> {
  const args = [SGCTL, 'console', '--lab', LAB, '--port', '0', '--json'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  while (!text.trimEnd().endsWith('}')) {
    const [piece] = (await once(child.stdout, 'data')) as [Buffer];
    text += piece.toString();
  }
  return { url: (JSON.parse(text) as { readonly url: string }).url, child };
}

async function takePictures(browser: Browser, url: string): Promise<void> {
  for (const { name, hash, text, isDark, size = SIZE, before } of PICTURES) {
    const page = await browser.newPage();
    await page.setViewport({ width: size[0], height: size[1] });
    await page.emulateMediaFeatures([
      { name: 'prefers-color-scheme', value: isDark === true ? 'dark' : 'light' },
    ]);
    await page.goto(url);
    await waitForText(page, 'eni-app-1');
    await page.evaluate(`location.hash = ${JSON.stringify(hash)}`);
    await waitForText(page, text);
    await before?.(page);
    await sleep(SETTLE_MS);
    await page.screenshot({ path: join(images, `${name}.png`) });
    await page.close();
  }
}

async function withBrowser(take: (browser: Browser) => Promise<void>): Promise<void> {
  const browser = await launchBrowser(join(folder, 'browser'));
  try {
    await take(browser);
  } finally {
    await browser.close();
  }
}

async function takePicturesOfLab(): Promise<void> {
  const lab = new DemoLab(root);
  let running: ChildProcess | undefined;
  try {
    lab.startTraffic();
    const { url, child } = await startConsole();
    running = child;
    await sleep(TRAFFIC_FIRST_MS);
    await withBrowser((browser) => takePictures(browser, url));
  } finally {
    running?.kill();
    lab.down();
  }
}

try {
  await takePicturesOfLab();
  await withBrowser((browser) => takeApiPictures(browser, images));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
