/** The page in a real browser, about an input in files: each view, for everybody, with hostile names and many interfaces. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Browser, Page } from 'puppeteer-core';
import {
  accessibilityFaults,
  coveredControls,
  openBrowser,
  requireBrowser,
  textOf,
  waitForText,
} from '../support/browser.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { repositoryRoot } from '../support/repository.ts';
import { manyInterfaces } from './many-interfaces.ts';
import { goTo, openPage, startConsole } from './page-world.ts';

const DEMO = join(repositoryRoot(), 'config/demo.yaml');
/** Each view with a text that it has once it is there. */
const VIEWS: readonly (readonly [hash: string, text: string])[] = [
  ['#/map', 'eni-app-1'],
  ['#/why', 'Ask whether one may reach the other'],
  ['#/why?q=eni-web-1+-%3E+eni-db-1+tcp+5432', 'The nearest rules'],
  ['#/live', 'An input in files has no traffic'],
  ['#/draft?group=app', 'securityGroups'],
  ['#/matrix', 'Save as CSV'],
  ['#/about', 'What this page may do'],
];

function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-page-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test('the page', async (t) => {
  if (!requireBrowser(t)) return;
  const browser = await openBrowser(t);
  for (const [name, run] of [
    ['each view works for everybody, at each size and in both colours', showsViews],
    ['an edge of the map leads to its rules, and to why', leadsToWhy],
    ['VPCs and services of the platform have their nodes', showsVpcs],
    ['keys are enough', usesKeys],
    ['a draft says what it would do, and what is wrong with it', drafts],
    ['the matrix is saved as CSV', savesMatrix],
    ['names of strangers are text and deceive nobody', showsHostileNames],
    ['a thousand interfaces are some nodes, and stay where they are', showsMany],
    ['without the token nothing is shown', asksForToken],
  ] as const)
    await t.test(name, (part) => run(part, browser));
});

async function showsViews(t: TestContext, browser: Browser): Promise<void> {
  const console = await startConsole(t, DEMO);
  for (const [width, height, scheme] of [
    [1440, 900, 'light'],
    [1440, 900, 'dark'],
    [360, 740, 'light'],
    [3840, 2160, 'dark'],
  ] as const) {
    const tab = await openPage(browser, console, 'eni-app-1', [width, height]);
    await tab.page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
    for (const [hash, text] of VIEWS) {
      await goTo(tab, hash, text);
      const where = `${hash} ${width} ${scheme}`;
      assert.deepEqual(await accessibilityFaults(tab.page), [], where);
      const wide = await tab.page.evaluate('document.documentElement.scrollWidth');
      assert.ok(Number(wide) <= width, `${where}: the page is ${String(wide)} pixels wide`);
      assert.deepEqual(await coveredControls(tab.page), [], where);
    }
    assert.deepEqual(tab.complaints, []);
    await tab.page.close();
  }
}

async function leadsToWhy(t: TestContext, browser: Browser): Promise<void> {
  const tab = await openPage(browser, await startConsole(t, DEMO), 'eni-app-1');
  const { page } = tab;
  await clickButton(page, 'Table');
  await waitForText(page, 'tcp 5432');
  await page.evaluate(`[...document.querySelectorAll('.data tr')]
    .find((row) => row.cells[0].innerText === 'eni-app-1' && row.cells[1].innerText === 'eni-db-1')
    .querySelector('button').click()`);
  await waitForText(page, 'demo.yaml:38');
  assert.match(await textOf(page, '.side-panel'), /tcp 5432 from sg:app\s+app to db/);
  await page.click('.side-panel a.button');
  await waitForText(page, 'Allowed');
  assert.match(await textOf(page, '#main'), /Ingress of eni-db-1/);
  await page.evaluate(`location.hash = '#/why?q=eni-web-1+-%3E+nobody+tcp+1'`);
  await waitForText(page, 'nobody');
  assert.deepEqual(tab.complaints, []);
  await page.close();
}

async function showsVpcs(t: TestContext, browser: Browser): Promise<void> {
  const file = join(temporaryFolder(t), 'two-vpcs.yaml');
  const two = readFileSync(join(repositoryRoot(), 'config/two-vpcs.yaml'), 'utf8');
  writeFileSync(file, `platformServices: [dns]\n${two}`);
  const tab = await openPage(browser, await startConsole(t, file), 'platform');
  const { page } = tab;
  const labels = (): Promise<unknown> =>
    page.evaluate(
      `[...document.querySelectorAll('.node')].map((node) => node.getAttribute('aria-label')).sort()`,
    );
  const of = (vpc: string): string => `${vpc}/server 2 interfaces (interfaces)`;
  const block = (number: number): string => `10.${number}.0.0/16 addresses (addresses)`;
  const platform = 'platform never filtered (platform)';
  assert.deepEqual(await labels(), [block(1), block(2), of('data'), platform, of('shop')]);
  await page.evaluate(`document.querySelector('.node-platform').focus()`);
  await page.keyboard.press('Enter');
  await waitForText(page, 'No group filters traffic to them.');
  assert.match(await textOf(page, '.side-panel'), /shop\/server tcp 53, udp 53/);
  assert.deepEqual(await accessibilityFaults(page), []);
  await page.keyboard.press('Escape');
  await page.select('.tools label:nth-of-type(2) select', 'data');
  // With whom it is joined to: the shop, and the block that its own rules name.
  await page.waitForSelector('.node[aria-label^="10.2."]', { hidden: true });
  assert.deepEqual(await labels(), [block(1), of('data'), platform, of('shop')]);
  assert.deepEqual(await accessibilityFaults(page), []);
  assert.deepEqual(tab.complaints, []);
  await page.close();
}

async function usesKeys(t: TestContext, browser: Browser): Promise<void> {
  const tab = await openPage(browser, await startConsole(t, DEMO), 'eni-app-1');
  const { page } = tab;
  await page.keyboard.press('/');
  await page.keyboard.type('10.0.0.13');
  await waitForText(page, '1 of');
  await page.keyboard.press('Escape');
  await page.keyboard.press('?');
  await waitForText(page, 'go to the filter box');
  assert.deepEqual(await accessibilityFaults(page), []);
  await page.keyboard.press('Escape');
  await page.keyboard.press('g');
  await page.keyboard.press('x');
  await waitForText(page, 'Save as CSV');
  await page.keyboard.press('g');
  await page.keyboard.press('m');
  await waitForText(page, 'Arrange');
  await page.evaluate(`document.querySelector('.node').focus()`);
  await page.keyboard.press('Enter');
  await page.waitForSelector('.side-panel');
  await page.keyboard.press('Escape');
  await page.waitForSelector('.side-panel', { hidden: true });
  const before = await page.evaluate(
    `document.querySelector('.map-sight svg > g').getAttribute('transform')`,
  );
  await page.keyboard.press('+');
  await page.waitForFunction(
    `document.querySelector('.map-sight svg > g').getAttribute('transform') !== ${JSON.stringify(before)}`,
  );
  assert.deepEqual(tab.complaints, []);
  await page.close();
}

async function drafts(t: TestContext, browser: Browser): Promise<void> {
  const tab = await openPage(browser, await startConsole(t, DEMO), 'eni-app-1');
  const { page } = tab;
  await goTo(tab, '#/draft?group=app', 'The draft is what is in force');
  const ports = 'input[aria-label="Ingress rule 1: ports"]';
  await fill(page, ports, '22');
  await waitForText(page, 'Newly allowed');
  await waitForText(page, 'tcp 22');
  const effects = await textOf(page, '.draft-answers');
  assert.match(effects, /Newly allowed\s*1[^]*tcp 22[^]*No longer allowed\s*1[^]*tcp 8080/);
  await clickButton(page, 'Terraform');
  await waitForText(page, '"aws_security_group"');
  await fill(page, ports, 'banana');
  await waitForText(page, 'The draft has errors');
  assert.equal(await attribute(page, ports, 'aria-invalid'), 'true');
  assert.deepEqual(await accessibilityFaults(page), []);
  await clickButton(page, 'Back to what is in force');
  await waitForText(page, 'The draft is what is in force');
  assert.equal(
    await page.$eval(ports, (input) => (input as unknown as { value: string }).value),
    '8080',
  );
  await page.close();
}

async function savesMatrix(t: TestContext, browser: Browser): Promise<void> {
  const folder = temporaryFolder(t);
  const tab = await openPage(browser, await startConsole(t, DEMO), 'eni-app-1');
  await goTo(tab, '#/matrix', 'Save as CSV');
  const session = await tab.page.createCDPSession();
  await session.send('Browser.setDownloadBehavior', {
    behavior: 'allow',
    downloadPath: folder,
    eventsEnabled: true,
  });
  const done = new Promise<void>((resolve) => {
    session.on('Browser.downloadProgress', ({ state }) => state === 'completed' && resolve());
  });
  await clickButton(tab.page, 'Save as CSV');
  await done;
  const [heading = '', ...rows] = readFileSync(join(folder, 'matrix.csv'), 'utf8').split('\r\n');
  const columns = heading.split(',');
  assert.equal(columns[0], 'from \\ to');
  const app = rows.find((row) => row.startsWith('eni-app-1,'));
  assert.match(app ?? '', /tcp 5432; udp 5353/);
  assert.deepEqual(tab.complaints, []);
  await tab.page.close();
}

async function showsHostileNames(t: TestContext, browser: Browser): Promise<void> {
  const name = '<img src=x onerror=document.title=1>\u202egpj.yaml';
  const file = join(temporaryFolder(t), name);
  writeFileSync(
    file,
    readFileSync(DEMO, 'utf8')
      .replace(/^templates:.*$/m, '')
      .replace('security-groups-sg, ', ''),
  );
  const tab = await openPage(browser, await startConsole(t, file), 'eni-app-1');
  await goTo(tab, '#/about', 'What this page may do');
  assert.match(await textOf(tab.page), /<img src=x onerror=document\.title=1>\\u\{202e\}gpj\.yaml/);
  await goTo(tab, '#/why?q=eni-app-1+-%3E+eni-db-1+tcp+5432', 'Ingress of eni-db-1');
  assert.match(await textOf(tab.page), /\\u\{202e\}gpj\.yaml:\d+/);
  assert.equal(await tab.page.title(), 'secgroupd console');
  assert.equal(await tab.page.$('img'), null);
  assert.deepEqual(tab.complaints, []);
  await tab.page.close();
}

const KINDS = 40;
const OF_A_KIND = 25;

async function showsMany(t: TestContext, browser: Browser): Promise<void> {
  const file = join(temporaryFolder(t), 'many.yaml');
  writeFileSync(file, manyInterfaces(KINDS, OF_A_KIND));
  const console = await startConsole(t, file);
  const tab = await openPage(browser, console, 'service-39');
  const { page } = tab;
  const places = (): Promise<string[]> =>
    page.evaluate(`[...document.querySelectorAll('.node')]
      .map((node) => node.getAttribute('aria-label') + ' ' + node.getAttribute('transform'))`) as Promise<
      string[]
    >;
  const before = await places();
  assert.equal(before.filter((place) => place.includes('25 interfaces')).length, KINDS);
  await page.reload();
  await waitForText(page, 'service-39');
  assert.deepEqual(await places(), before);

  await page.keyboard.press('/');
  await page.keyboard.type('eni-7-3');
  await waitForText(page, '1 of');
  await page.evaluate(
    `document.querySelector('.node:not(.far)').dispatchEvent(new MouseEvent('click', { bubbles: true }))`,
  );
  await waitForText(page, '10.0.7.4');
  await page.evaluate(`document.querySelector('input[type=search]').select()`);
  await page.keyboard.press('Backspace');
  await goTo(tab, '#/matrix', 'Save as CSV');
  const rows = await page.$$eval('.matrix-table tbody tr', (all) => all.length);
  assert.ok(rows < KINDS, `${rows} rows are in the document`);
  assert.deepEqual(tab.complaints, []);
  await page.close();
}

async function asksForToken(t: TestContext, browser: Browser): Promise<void> {
  const { port, token, url } = await startConsole(t, DEMO);
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  page.setDefaultTimeout(GUARD_MS);
  await page.goto(`http://127.0.0.1:${port}/`);
  await waitForText(page, 'Address or token');
  assert.deepEqual(await accessibilityFaults(page), []);
  await page.type('#token', 'not a token');
  await page.keyboard.press('Enter');
  await waitForText(page, 'neither the address of a console nor a token');
  await fill(page, '#token', `x${token}`);
  await page.keyboard.press('Enter');
  // The server refuses it, and the page asks again.
  await sleep(300);
  await waitForText(page, 'Address or token');
  await fill(page, '#token', url);
  await page.keyboard.press('Enter');
  await waitForText(page, 'eni-app-1');
  assert.equal(new URL(page.url()).hash.includes(token), false);
  await page.reload();
  await waitForText(page, 'eni-app-1');
  await context.close();
}

/** Puts a text in the place of what a field has. */
async function fill(page: Page, selector: string, text: string): Promise<void> {
  await page.click(selector, { count: 3 });
  await page.keyboard.type(text);
}

async function clickButton(page: Page, text: string): Promise<void> {
  const button = await page.waitForSelector(`button::-p-text(${text})`);
  await button?.click();
}

function attribute(page: Page, selector: string, name: string): Promise<unknown> {
  return page.evaluate(
    `document.querySelector(${JSON.stringify(selector)}).getAttribute(${JSON.stringify(name)})`,
  );
}
