/** The page in a real browser with a real daemon and real packets: what flows, what is dropped, and a restart meanwhile. */
import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Browser } from 'puppeteer-core';
import { canRun, Daemon, get, makeNamespaces, serve, temporaryFile } from '../netns/world.ts';
import {
  accessibilityFaults,
  openBrowser,
  requireBrowser,
  textOf,
  waitForText,
} from '../support/browser.ts';
import type { Netns } from '../support/netns.ts';
import { start } from '../support/process.ts';
import { goTo, openPage, startConsole, type Console } from './page-world.ts';

const NAMES = ['world', 'app', 'db'] as const;
const WORLD = '198.51.100.7';
const APP = '10.0.0.12';
const DB = '10.0.0.13';

interface World extends Record<(typeof NAMES)[number], Netns> {
  readonly file: string;
  readonly socket: string;
  readonly daemon: Daemon;
  readonly console: Console;
}

function configuration(names: Record<(typeof NAMES)[number], Netns>): string {
  return `
uplink: { tun: up0, netns: ${names.world.path}, addresses: [${WORLD}/24] }
securityGroups:
  app: {}
  db:
    ingress:
      - { protocol: tcp, ports: 8080, from: 'sg:app', description: app to db }
    egress: []
interfaces:
  eni-app: { device: { netns: ${names.app.path}, name: eth0 }, addresses: [${APP}], securityGroups: [app] }
  eni-db: { device: { netns: ${names.db.path}, name: eth0 }, addresses: [${DB}], securityGroups: [db] }
`;
}

async function makeWorld(t: TestContext): Promise<World> {
  const names = await makeNamespaces(t, NAMES);
  const file = temporaryFile(t, 'page.yaml', configuration(names));
  const socket = join(dirname(file), 'control.sock');
  const daemon = await Daemon.start(t, file, ['--control', socket]);
  await serve(names.db, 'db');
  const console = await startConsole(t, '--socket', socket);
  return { ...names, file, socket, daemon, console };
}

test('the page of a daemon', async (t) => {
  if (!requireBrowser(t) || !canRun(t)) return;
  const world = await makeWorld(t);
  const browser = await openBrowser(t);
  await t.test('shows flows as they are, and which edge they take', () =>
    showsFlows(world, browser),
  );
  await t.test('shows a drop, and why', () => showsDrops(world, browser));
  await t.test('says what a draft would do to connections', () =>
    draftsConnections(world, browser),
  );
  await t.test('is paused and goes on', () => pauses(world, browser));
  await t.test('outlives a restart of the daemon', (part) => outlivesRestart(part, world, browser));
});

/** Something that carries data for as long as a test runs. */
async function keepTransferring(world: World): Promise<() => Promise<unknown>> {
  const transfer = await start('ip', [
    ...['netns', 'exec', world.app.name],
    ...['curl', '-sN', '-o', '/dev/null', `http://${DB}:8080/ticks`],
  ]);
  return () => transfer.stop();
}

async function showsFlows(world: World, browser: Browser): Promise<void> {
  const stop = await keepTransferring(world);
  try {
    const tab = await openPage(browser, world.console, 'eni-db');
    const { page } = tab;
    await page.waitForSelector('.edge-busy');
    assert.match(
      await textOf(page, '.edge-busy text'),
      /tcp 8080 · .* bit\/s|tcp 8080 · .*kbit\/s/,
    );
    await goTo(tab, '#/live', `${DB}:8080`);
    assert.deepEqual(await accessibilityFaults(page), []);
    assert.match(await textOf(page, '.data'), /db: tcp 8080 from sg:app/);
    for (const [title, text] of [
      ['Interfaces', 'Packets in/s'],
      ['Rules', 'page.yaml:7'],
      ['Tracked flows', '2 tracked'],
    ] as const) {
      await page.click(`[role=tab]::-p-text(${title})`);
      await waitForText(page, text);
      assert.deepEqual(await accessibilityFaults(page), [], title);
    }
    assert.deepEqual(tab.complaints, []);
    await page.close();
  } finally {
    await stop();
  }
}

async function showsDrops(world: World, browser: Browser): Promise<void> {
  const tab = await openPage(browser, world.console, 'eni-db');
  const { page } = tab;
  await goTo(tab, '#/live', 'Fastest flows');
  await page.click('[role=tab]::-p-text(Drops)');
  assert.equal(await get(world.world, `${DB}:5432`, 0.5), '');
  await waitForText(page, `${WORLD}:`);
  assert.match(
    await textOf(page, '.data'),
    new RegExp(`ingress\\s+tcp\\s+${WORLD}:\\d+ → ${DB}:5432\\s+ingress-rules`),
  );
  await page.click('.data a');
  await waitForText(page, 'By the rules in force now');
  assert.match(
    await textOf(page, '#main'),
    /Dropped: ingress-rules[^]*Ingress of eni-db[^]*tcp 8080 from sg:app/,
  );
  assert.deepEqual(await accessibilityFaults(page), []);
  await goTo(tab, '#/map', 'dropped');
  await page.waitForSelector('.edge-drop');
  assert.match(await textOf(page, '.edge-drop text'), /^\d+ dropped$/);
  assert.deepEqual(await accessibilityFaults(page), []);
  assert.deepEqual(tab.complaints, []);
  await page.close();
}

async function draftsConnections(world: World, browser: Browser): Promise<void> {
  const stop = await keepTransferring(world);
  try {
    const tab = await openPage(browser, world.console, 'eni-db');
    const { page } = tab;
    await goTo(tab, '#/draft?group=db', 'The draft is what is in force');
    await page.click('button[aria-label="Remove Ingress rule 1"]');
    await waitForText(page, 'No longer allowed');
    await waitForText(page, 'refused if opened again');
    const counts = await textOf(page, '.counts');
    assert.match(counts.replaceAll('\n', ' '), /[1-9]\d* (cut|kept, and refused if opened again)/);
    assert.deepEqual(tab.complaints, []);
    await page.close();
  } finally {
    await stop();
  }
}

async function pauses(world: World, browser: Browser): Promise<void> {
  const tab = await openPage(browser, world.console, 'eni-db');
  const { page } = tab;
  await goTo(tab, '#/live', 'Fastest flows');
  await page.keyboard.press('p');
  await waitForText(page, 'paused');
  const { length } = await page.$$('.data tbody tr');
  assert.equal(await get(world.app, `${DB}:8080`), 'db\n');
  assert.equal((await page.$$('.data tbody tr')).length, length);
  await page.keyboard.press('p');
  await page.waitForSelector('.pill-live');
  assert.deepEqual(tab.complaints, []);
  await page.close();
}

async function outlivesRestart(t: TestContext, world: World, browser: Browser): Promise<void> {
  const { page, complaints } = await openPage(browser, world.console, 'eni-db');
  await page.waitForSelector('.pill-live');
  // All is answered but the stream: a question that the daemon can't answer any more is a complaint of the browser.
  await page.waitForNetworkIdle({ concurrency: 1 });
  await world.daemon.kill();
  await waitForText(page, 'daemon away since');
  assert.match(await textOf(page, '.away-bar'), /What is shown is of before/);
  assert.deepEqual(await accessibilityFaults(page), []);
  await Daemon.start(t, world.file, ['--control', world.socket]);
  await page.waitForSelector('.pill-live');
  await page.waitForSelector('.away-bar', { hidden: true });
  assert.ok((await page.$$('.node')).length >= 3);
  assert.deepEqual(complaints, []);
  await page.close();
}
