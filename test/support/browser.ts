/** A real browser for tests: Debian's Chromium, with what it complains about. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import puppeteer, { type Browser, type BrowserContext, type Page } from 'puppeteer-core';
import { GUARD_MS } from './guard-time.ts';
import { findTool } from './require.ts';

const CHROMIUM = 'chromium';

/** A page of the browser, with all that it complained about. */
export interface Tab {
  readonly page: Page;
  /** Errors and warnings of the console, errors that nothing caught, requests that failed, breaches of the CSP. */
  readonly complaints: string[];
}

/** Whether there is a browser; otherwise the test is skipped. */
export function requireBrowser(t: TestContext): boolean {
  if (findTool(CHROMIUM) !== undefined) return true;
  t.skip(`needs ${CHROMIUM} (not found on the PATH)`);
  return false;
}

/** Starts a browser without anything of a former one. The caller closes it. */
export async function launchBrowser(folder: string): Promise<Browser> {
  return puppeteer.launch({
    executablePath: findTool(CHROMIUM) ?? CHROMIUM,
    userDataDir: folder,
    timeout: GUARD_MS,
    protocolTimeout: GUARD_MS,
    // Root has no sandbox in a container; all that the browser opens is ours.
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run'],
  });
}

/** A browser that ends with the test. */
export async function openBrowser(t: TestContext): Promise<Browser> {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-browser-'));
  const browser = await launchBrowser(folder);
  t.after(async () => {
    await browser.close();
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  });
  return browser;
}

export async function openTab(
  browser: Browser | BrowserContext,
  width = 1440,
  height = 900,
): Promise<Tab> {
  const page = await browser.newPage();
  page.setDefaultTimeout(GUARD_MS);
  const complaints: string[] = [];
  await page.setViewport({ width, height });
  page.on('console', (message) => {
    // Breaches of the CSP are told so too.
    if (message.type() === 'error' || message.type() === 'warn')
      complaints.push(`${message.type()}: ${message.text()} ${message.location().url ?? ''}`);
  });
  page.on('pageerror', (error) => complaints.push(`uncaught: ${String(error)}`));
  return { page, complaints };
}

const require = createRequire(import.meta.url);

/** What axe-core finds wrong for those who can't see or use a mouse, a line each. */
export async function accessibilityFaults(page: Page): Promise<string[]> {
  // By the debugger, which the page's CSP does not concern.
  await page.evaluate(readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8'));
  return page.evaluate(`axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) =>
    violations.flatMap(({ id, nodes }) =>
      nodes.map(({ target, failureSummary }) => id + ' at ' + target.join(' ') + ': ' + failureSummary)))`) as Promise<
    string[]
  >;
}

/** Buttons, links and fields that something lies upon, so that no click reaches them, a line each. */
export async function coveredControls(page: Page): Promise<string[]> {
  return page.evaluate(`[...(document.querySelector('dialog[open]') ?? document)
    .querySelectorAll('a, button, input, select, summary')]
    .filter((control) => control.checkVisibility())
    .flatMap((control) => {
      const box = control.getClientRects()[0];
      const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
      // What is scrolled out of a frame is not in sight.
      for (let one = control.parentElement; one !== null; one = one.parentElement) {
        const { left, right, top, bottom } = one.getBoundingClientRect();
        const isFrame = getComputedStyle(one).overflow !== 'visible';
        if (isFrame && (x < left || x > right || y < top || y > bottom)) return [];
      }
      const hit = document.elementFromPoint(x, y);
      const isReached = hit === null || control.contains(hit) || control.labels?.[0]?.contains(hit);
      return isReached ? [] : [control.outerHTML.slice(0, 120) + ' lies under ' + hit.outerHTML.slice(0, 120)];
    })`) as Promise<string[]>;
}

/** Waits until the page has the text. */
export async function waitForText(page: Page, text: string): Promise<void> {
  try {
    await page.waitForFunction(`document.body.innerText.includes(${JSON.stringify(text)})`);
  } catch (error) {
    throw new Error(`the page does not show '${text}':\n${await textOf(page)}`, { cause: error });
  }
}

/** What the reader sees of an element; of one in a picture, its text. */
export async function textOf(page: Page, selector = 'body'): Promise<string> {
  const element = `document.querySelector(${JSON.stringify(selector)})`;
  return String(await page.evaluate(`${element}.innerText ?? ${element}.textContent`));
}
