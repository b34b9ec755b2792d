/** The console as people start it, and its page in a browser. */
import type { TestContext } from 'node:test';
import type { Browser } from 'puppeteer-core';
import { openTab, waitForText, type Tab } from '../support/browser.ts';
import { start } from '../support/process.ts';
import { SGCTL } from '../support/sgctl.ts';

export interface Console {
  /** With the token. */
  readonly url: string;
  readonly port: number;
  readonly token: string;
}

/** Starts `sgctl console` on any port; it ends with the test. @param args an input, or `--socket PATH` */
export async function startConsole(t: TestContext, ...args: readonly string[]): Promise<Console> {
  const running = await start(process.execPath, [
    SGCTL,
    'console',
    ...args,
    '--port',
    '0',
    '--json',
  ]);
  t.after(() => running.stop());
  const [printed] = await running.waitFor(/\{[^]*\}/);
  return JSON.parse(printed) as Console;
}

/** The page in a new tab, at a view. @param text it is ready when it shows this */
export async function openPage(
  browser: Browser,
  { url }: Console,
  text: string,
  size: readonly [width: number, height: number] = [1440, 900],
): Promise<Tab> {
  const tab = await openTab(browser, ...size);
  await tab.page.goto(url);
  await waitForText(tab.page, text);
  return tab;
}

/** Goes to a view of the page. @param text it is there when it shows this */
export async function goTo({ page }: Tab, hash: string, text: string): Promise<void> {
  await page.evaluate(`location.hash = ${JSON.stringify(hash)}`);
  await waitForText(page, text);
}
