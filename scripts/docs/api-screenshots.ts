/**
 * Takes the pictures of the page of secgroup-api for docs/images/: signing in, a draft about to be applied, the history
 * and the hosts. The server, the daemons of three hosts and what they do are real; one of the hosts has stopped, and an interface is still placed there.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Browser, Page } from 'puppeteer-core';
import {
  makeApiPageWorld,
  openForm,
  openSignedIn,
  OUTSIDE,
  typeKey,
  type ApiPageWorld,
} from '../../test/console/api-page-world.ts';
import { goTo } from '../../test/console/page-world.ts';
import { makeNamespaces } from '../../test/netns/world.ts';
import { waitForText } from '../../test/support/browser.ts';
import type { Scope } from '../../test/support/scope.ts';

const SIZE = { width: 1280, height: 640 };
const SETTLE_MS = 1000;

export async function takeApiPictures(browser: Browser, images: string): Promise<void> {
  const ends: (() => unknown)[] = [];
  try {
    const scope = { after: (end: () => unknown) => void ends.push(end) };
    const world = await makeApiPageWorld(scope);
    const stopHost = await makeStory(scope, world);
    await takeAll(browser, world, stopHost, async (page, name) => {
      await sleep(SETTLE_MS);
      await page.screenshot({ path: join(images, `${name}.png`) });
    });
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

/** Groups and rules that a key made by calls, and two more hosts. @returns what stops the last one */
async function makeStory(scope: Scope, world: ApiPageWorld): Promise<() => Promise<unknown>> {
  const { group: web } = world;
  const allow = (group: string, port: string, description: string, from: object): Promise<string> =>
    world.call('AuthorizeSecurityGroupIngress', {
      GroupId: group,
      'IpPermissions.1.IpProtocol': 'tcp',
      'IpPermissions.1.FromPort': port,
      'IpPermissions.1.ToPort': port,
      ...Object.fromEntries(
        Object.entries({ ...from, Description: description }).map(([name, value]) => [
          `IpPermissions.1.${'CidrIp' in from ? 'IpRanges' : 'Groups'}.1.${name}`,
          String(value),
        ]),
      ),
    });
  const make = (name: string, description: string): Promise<string> => {
    const names = { GroupName: name, GroupDescription: description };
    return world.call('CreateSecurityGroup', names, 'groupId');
  };
  await allow(web, '443', 'everybody', { CidrIp: '0.0.0.0/0' });
  const app = await make('app', 'the application');
  await allow(app, '8080', 'web to app', { GroupId: web });
  const db = await make('db', 'its database');
  await allow(db, '5432', 'app to db', { GroupId: app });
  await world.startHost('rack-2', 'securityGroups: {}\n');
  const last = await world.startHost('rack-3', 'securityGroups: {}\n');
  const { third } = await makeNamespaces(scope, ['third']);
  const place = { host: 'rack-3', netns: third.path, address: '172.31.0.103' };
  await world.makeInterface({ ...place, group: db });
  return () => last.stop();
}

async function takeAll(
  browser: Browser,
  world: ApiPageWorld,
  stopHost: () => Promise<unknown>,
  take: (page: Page, name: string) => Promise<void>,
): Promise<void> {
  const key = world.makeKey('deploy', 'write');
  const { page: form } = await openForm(browser, world, [720, 520]);
  await take(form, 'console-sign-in');
  await typeKey(form, key);
  await waitForText(form, 'Matrix');
  await form.browserContext().close();

  const tab = await openSignedIn(browser, world, '#/draft?group=web', 'Nothing to apply', key);
  const { page } = tab;
  await page.setViewport(SIZE);
  await page.click('.draft-rules section:first-of-type > button');
  await page.select('[aria-label="Ingress rule 2: protocol"]', 'icmp');
  await page.waitForSelector('[aria-label="Ingress rule 2: type"]');
  await page.type('[aria-label="Ingress rule 2: type"]', '8');
  await page.click('[aria-label="Ingress rule 2: peer"]', { count: 3 });
  await page.keyboard.type(OUTSIDE);
  const button = await page.waitForSelector('button::-p-text(Apply to web)');
  await button?.click();
  await page.waitForSelector('dialog[open]');
  await take(page, 'console-apply');
  await page.click('dialog[open] button.primary');
  await waitForText(page, 'Applied: revision');

  await goTo(tab, '#/history', '(console)');
  await page.click('.data tbody tr:first-of-type button');
  await page.waitForSelector('.side-panel');
  await take(page, 'console-history');
  await stopHost();
  await goTo(tab, '#/hosts', 'The newest revision is');
  await waitForText(page, 'left');
  await take(page, 'console-hosts');
}
