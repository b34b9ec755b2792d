/**
 * The page of secgroup-api in a real browser, with a real daemon and real packets: signing in, a draft that is applied,
 * the history and the way back, the hosts, and a session that ends.
 */
import assert from 'node:assert/strict';
import { symlinkSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Browser, Page } from 'puppeteer-core';
import { canRun, makeNamespaces, ping, pingInVain } from '../netns/world.ts';
import { makeFolder } from '../store/folder.ts';
import {
  accessibilityFaults,
  coveredControls,
  openBrowser,
  requireBrowser,
  textOf,
  waitForText,
  type Tab,
} from '../support/browser.ts';
import { goTo, openPage, startConsole } from './page-world.ts';
import {
  makeApiPageWorld,
  openForm,
  openSignedIn,
  OUTSIDE,
  typeKey,
  WEB,
  type ApiPageWorld,
} from './api-page-world.ts';

test('the page of secgroup-api', async (t) => {
  if (!requireBrowser(t) || !canRun(t)) return;
  const world = await makeApiPageWorld(t);
  const browser = await openBrowser(t);
  for (const [name, run] of [
    ['a wrong key is refused, and the secret of a right one stays in the form', signsIn],
    ['a draft is previewed, confirmed and applied, and packets obey', applies],
    ['what changed since the preview is not overwritten', refusesOldPreview],
    ['the history leads back, and packets obey again', goesBack],
    ['what a file declares, and a key that may only read, can be looked at', isReadOnly],
    ['who is signed out by the server signs in again, and goes on', outlivesSession],
    ['the map of one host shows who is on another', showsElsewhere],
    ['hosts are shown as they are, and go away while one looks', showsHosts],
    ['names of strangers are text and deceive nobody', showsHostileNames],
  ] as const)
    await t.test(name, (part) => run(world, browser, part));
});

/** Each look of a view: nobody is kept out, nothing is wider than the screen, nothing covers what is clicked. */
async function checkLooks({ page }: Tab, what: string): Promise<void> {
  for (const [width, height, scheme] of [
    [1440, 900, 'dark'],
    [360, 740, 'light'],
    [3840, 2160, 'light'],
    [1440, 900, 'light'],
  ] as const) {
    await page.setViewport({ width, height });
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
    const where = `${what} ${width} ${scheme}`;
    assert.deepEqual(await accessibilityFaults(page), [], where);
    const wide = Number(await page.evaluate('document.documentElement.scrollWidth'));
    assert.ok(wide <= width, `${where}: the page is ${wide} pixels wide`);
    assert.deepEqual(await coveredControls(page), [], where);
  }
}

async function signsIn(world: ApiPageWorld, browser: Browser): Promise<void> {
  const tab = await openForm(browser, world);
  const { page } = tab;
  const sent: string[] = [];
  page.on('request', (request) =>
    sent.push(`${request.url()} ${JSON.stringify(request.headers())} ${request.postData() ?? ''}`),
  );
  await checkLooks(tab, 'the form');
  const { accessKeyId, secretAccessKey } = world.key;
  await typeKey(page, { accessKeyId, secretAccessKey: `${secretAccessKey}x` });
  await page.waitForSelector('#key-wrong');
  await checkLooks(tab, 'the form, refused');
  await typeKey(page, world.key);
  await waitForText(page, 'web');
  await waitForText(page, 'History');
  const kept = await page.evaluate(
    'JSON.stringify([{ ...sessionStorage }, { ...localStorage }, document.documentElement.outerHTML])',
  );
  for (const text of [String(kept), ...sent]) assert.equal(text.includes(secretAccessKey), false);
  assert.ok(sent.some((text) => text.includes(`Credential=${accessKeyId}/`)));

  await page.reload();
  await waitForText(page, 'Matrix');
  await page.click('button[aria-label="Sign out alice"]');
  await waitForText(page, 'Access key id');
  assert.equal((await textOf(page)).includes('The session has ended'), false);
  assert.equal(await page.evaluate('sessionStorage.length'), 0);
  // The browser tells its console of the answer 401.
  assert.deepEqual(
    tab.complaints.filter((one) => !one.includes('401')),
    [],
  );
  await page.browserContext().close();
}

/** Adds a rule by which OUTSIDE may ping. */
async function addPing(page: Page): Promise<void> {
  const count = (await page.$$('select[aria-label^="Ingress rule"]')).length + 1;
  await page.click('.draft-rules section:first-of-type > button');
  const field = (name: string): string => `[aria-label="Ingress rule ${count}: ${name}"]`;
  await page.waitForSelector(field('protocol'));
  await page.select(field('protocol'), 'icmp');
  await page.waitForSelector(field('type'));
  await page.type(field('type'), '8');
  await page.click(field('peer'), { count: 3 });
  await page.keyboard.type(OUTSIDE);
}

async function clickButton(page: Page, text: string): Promise<void> {
  const button = await page.waitForSelector(`button::-p-text(${text})`);
  await button?.click();
}

/** Confirms, and waits until the server has answered. */
async function confirm(page: Page): Promise<string> {
  await clickButton(page, 'Apply to web');
  await page.waitForSelector('dialog[open]');
  const asked = await textOf(page, 'dialog[open]');
  await page.click('dialog[open] button.primary');
  return asked;
}

async function applies(world: ApiPageWorld, browser: Browser): Promise<void> {
  await pingInVain(world.out, WEB);
  const tab = await openSignedIn(browser, world, '#/draft?group=web', 'Nothing to apply');
  const { page } = tab;
  await addPing(page);
  await waitForText(page, 'AuthorizeSecurityGroupIngress');
  await waitForText(page, 'Newly allowed');
  await waitForText(page, 'here');
  await checkLooks(tab, 'the draft');
  await clickButton(page, 'Apply to web');
  await page.waitForSelector('dialog[open]');
  await checkLooks(tab, 'the confirmation');
  await page.keyboard.press('Escape');
  await page.waitForSelector('dialog[open]', { hidden: true });
  await pingInVain(world.out, WEB);
  const asked = await confirm(page);
  assert.match(asked, /Apply to web\?[^]*newly allowed[^]*tracked connections? cut/);
  await waitForText(page, 'Applied: revision');
  assert.match(await textOf(page, '.notice-good'), /Applied: revision \d+\. It is in force\./);
  assert.equal((await ping(world.out, WEB)).code, 0);
  await waitForText(page, 'The draft is what is in force');
  await checkLooks(tab, 'the draft, applied');
  assert.deepEqual(tab.complaints, []);
  await page.browserContext().close();
}

async function refusesOldPreview(world: ApiPageWorld, browser: Browser): Promise<void> {
  const tab = await openSignedIn(browser, world, '#/draft?group=web', 'Nothing to apply');
  const { page } = tab;
  await page.click('button[aria-label="Remove Ingress rule 1"]');
  await clickButton(page, 'Apply to web');
  await page.waitForSelector('dialog[open]');
  await world.call('AuthorizeSecurityGroupIngress', {
    GroupId: world.group,
    'IpPermissions.1.IpProtocol': 'tcp',
    'IpPermissions.1.FromPort': '443',
    'IpPermissions.1.ToPort': '443',
    'IpPermissions.1.IpRanges.1.CidrIp': '192.0.2.0/24',
  });
  await page.click('dialog[open] button.primary');
  await waitForText(page, 'It changed since: preview again');
  assert.equal((await ping(world.out, WEB)).code, 0);
  await clickButton(page, 'Preview again');
  // The draft lacks the rule that came meanwhile.
  await waitForText(page, 'tcp 443 from 192.0.2.0/24');
  await clickButton(page, 'Back to what is in force');
  await waitForText(page, 'Nothing to apply');
  assert.deepEqual(
    tab.complaints.filter((one) => !one.includes('409')),
    [],
  );
  await page.browserContext().close();
}

async function goesBack(world: ApiPageWorld, browser: Browser): Promise<void> {
  const tab = await openSignedIn(browser, world, '#/history', 'alice');
  const { page } = tab;
  await checkLooks(tab, 'the history');
  const console = 'AuthorizeSecurityGroupIngress (console)';
  await page.type('input[type=search]', 'console');
  await waitForText(page, console);
  await page.evaluate(`[...document.querySelectorAll('.data tbody tr')]
    .find((row) => row.innerText.includes(${JSON.stringify(console)})).querySelector('button').click()`);
  await page.waitForSelector('.side-panel');
  assert.match(
    await textOf(page, '.side-panel'),
    /Revision \d+[^]*alice[^]*web[^]*1 rule added[^]*icmp[^]*from 10\.9\.0\.0\/24/,
  );
  await checkLooks(tab, 'a change');
  await page.click('.side-panel a.button');
  await waitForText(page, 'The draft began with the rules that the group had before revision');
  await waitForText(page, 'RevokeSecurityGroupIngress');
  await confirm(page);
  await waitForText(page, 'Applied: revision');
  await pingInVain(world.out, WEB);
  assert.deepEqual(tab.complaints, []);
  await page.browserContext().close();
}

async function isReadOnly(world: ApiPageWorld, browser: Browser): Promise<void> {
  const reader = world.makeKey('reader', 'read');
  const tab = await openSignedIn(browser, world, '#/draft?group=web', 'web', reader);
  const { page } = tab;
  await waitForText(page, 'Nothing to apply');
  await page.click('.draft-rules section:first-of-type > button');
  await page.waitForSelector('section[aria-labelledby=apply-title] .notice-warning');
  assert.equal(await page.$('button::-p-text(Apply to web)'), null);
  await goTo(tab, '#/draft?group=declared', 'Read only:');
  const text = await textOf(page);
  assert.match(text, /Read only: /);
  assert.equal(await page.title(), 'secgroupd console');
  assert.equal(await page.$('img'), null);
  await checkLooks(tab, 'what a file declares');
  await goTo(tab, '#/about', 'change nothing');
  await checkLooks(tab, 'about');
  assert.deepEqual(tab.complaints, []);
  await page.browserContext().close();
}

async function showsHosts(world: ApiPageWorld, browser: Browser): Promise<void> {
  const tab = await openSignedIn(browser, world, '#/hosts', 'The newest revision is');
  const { page } = tab;
  await waitForText(page, 'alive');
  assert.match(await textOf(page, '.data tbody'), /here\s+alive\s+\d+/);
  await checkLooks(tab, 'the hosts');
  await world.daemon.stop();
  // An interface is still placed there.
  await waitForText(page, 'left');
  assert.match(await textOf(page, '.data tbody'), /here\s+(left|away)/);
  await checkLooks(tab, 'the hosts, one away');
  assert.deepEqual(tab.complaints, []);
  await page.browserContext().close();
}

async function showsElsewhere(
  world: ApiPageWorld,
  browser: Browser,
  t: TestContext,
): Promise<void> {
  const { there } = await makeNamespaces(t, ['there']);
  const daemon = await world.startHost('there', 'securityGroups: {}\n');
  const place = { host: 'there', netns: there.path, address: '172.31.0.101' };
  const id = await world.makeInterface({ ...place, group: world.group });
  await world.call('AuthorizeSecurityGroupIngress', {
    GroupId: world.group,
    'IpPermissions.1.IpProtocol': 'tcp',
    'IpPermissions.1.FromPort': '8080',
    'IpPermissions.1.ToPort': '8080',
    'IpPermissions.1.Groups.1.GroupId': world.group,
  });
  const console = await startConsole(t, '--socket', world.socket);
  const tab = await openPage(browser, console, 'web on other hosts');
  const { page } = tab;
  await page.waitForSelector(
    '.node-members[aria-label="web on other hosts 1 elsewhere (members elsewhere)"]',
  );
  await page.waitForSelector(
    `.edge-perhaps[aria-label^="tcp 8080: perhaps allowed from web on other hosts to "]`,
  );
  await page.evaluate(`document.querySelector('.node-members').focus()`);
  await page.keyboard.press('Enter');
  await waitForText(page, '1 interface of other hosts.');
  await checkLooks(tab, 'members of other hosts');
  assert.deepEqual(tab.complaints, []);
  await page.close();
  // On the map of the API all of them are interfaces.
  const all = await openSignedIn(browser, world, '#/map', '2 interfaces');
  assert.equal(await all.page.$('.node-members'), null);
  await all.page.browserContext().close();
  await world.call('DeleteNetworkInterface', { NetworkInterfaceId: id });
  await daemon.stop();
}

/** A group may be called so: who reads entities would show something else. */
const GROUP_NAME = `&lt;img src=x&gt; {{1}} ${'very-'.repeat(45)}long`;
/** Anything may be the name of a prefix list, and of a file. */
const HOSTILE_NAME = `<img src=x onerror=document.title=1>\u202e${'x'.repeat(100)}`;
const NAME_SHOWN = HOSTILE_NAME.replace('\u202e', '\\u{202e}');

async function showsHostileNames(
  world: ApiPageWorld,
  browser: Browser,
  t: TestContext,
): Promise<void> {
  const { strange } = await makeNamespaces(t, ['strange']);
  const netns = join(makeFolder(t), HOSTILE_NAME);
  symlinkSync(strange.path, netns);
  const daemon = await world.startHost('here');
  const list = await world.call(
    'CreateManagedPrefixList',
    {
      ...{ PrefixListName: HOSTILE_NAME, AddressFamily: 'IPv4', MaxEntries: '1' },
      'Entry.1.Cidr': OUTSIDE,
    },
    'prefixListId',
  );
  const names = { GroupName: GROUP_NAME, GroupDescription: GROUP_NAME };
  const group = await world.call('CreateSecurityGroup', names, 'groupId');
  await world.call('AuthorizeSecurityGroupIngress', {
    GroupId: group,
    'IpPermissions.1.IpProtocol': 'tcp',
    'IpPermissions.1.FromPort': '22',
    'IpPermissions.1.ToPort': '22',
    'IpPermissions.1.PrefixListIds.1.PrefixListId': list,
    'IpPermissions.1.PrefixListIds.1.Description': GROUP_NAME,
  });
  await world.makeInterface({ host: 'here', netns, address: '172.31.0.102', group });
  // The device is not where it was: the host says so, by the name.
  await daemon.stop();
  unlinkSync(netns);
  await world.startHost('here');

  const tab = await openSignedIn(browser, world, '#/map', 'Matrix');
  const { page } = tab;
  await clickButton(page, 'Table');
  await expectText(tab, NAME_SHOWN, 'the map');
  await goTo(tab, `#/draft?group=${encodeURIComponent(GROUP_NAME)}`, 'Nothing to apply');
  await page.click('button[aria-label="Remove Ingress rule 1"]');
  await waitForText(page, 'RevokeSecurityGroupIngress');
  await expectText(tab, `Apply to ${GROUP_NAME}`, 'the draft');
  await expectText(tab, NAME_SHOWN, 'the draft');
  await goTo(tab, '#/history', 'AuthorizeSecurityGroupIngress');
  await expectText(tab, GROUP_NAME, 'the history');
  await page.click('.data tbody tr:nth-child(2) button');
  await page.waitForSelector('.side-panel');
  await expectText(tab, `"${GROUP_NAME}"`, 'a change');
  await goTo(tab, '#/hosts', 'The newest revision is');
  await expectText(tab, NAME_SHOWN, 'the hosts');
  assert.deepEqual(tab.complaints, []);
  await page.browserContext().close();
}

/** The text is there as it is meant, and nothing of any text has become more than text. */
async function expectText(tab: Tab, text: string, what: string): Promise<void> {
  const { page } = tab;
  await waitForText(page, text);
  assert.equal((await textOf(page)).includes('\u202e'), false, what);
  assert.equal(await page.title(), 'secgroupd console', what);
  assert.equal(await page.$('img'), null, what);
  await checkLooks(tab, what);
}

async function outlivesSession(world: ApiPageWorld, browser: Browser): Promise<void> {
  const [first, second] = [world.makeKey('first', 'write'), world.makeKey('second', 'write')];
  const tab = await openSignedIn(browser, world, '#/draft?group=web', 'web', first);
  const { page } = tab;
  await waitForText(page, 'Nothing to apply');
  await addPing(page);
  await waitForText(page, 'The draft differs');
  world.deleteKey(first);
  await waitForText(page, 'The session has ended');
  await checkLooks(tab, 'the form, again');
  await typeKey(page, second);
  await waitForText(page, 'The draft differs');
  assert.match(new URL(page.url()).hash, /^#\/draft\?group=web/);
  const peers = await page.$$eval('[aria-label^="Ingress rule"][aria-label$=": peer"]', (inputs) =>
    inputs.map((input) => (input as unknown as { readonly value: string }).value),
  );
  assert.ok(peers.includes(OUTSIDE), peers.join(' '));
  // The server ends the stream of events of a key that is gone.
  assert.deepEqual(
    tab.complaints.filter((one) => !/401|ERR_INCOMPLETE_CHUNKED_ENCODING/.test(one)),
    [],
  );
  await page.browserContext().close();
}
