/** secgroup-api with its console, a daemon that follows the same store, and an interface in a namespace; and its page in a browser. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page } from 'puppeteer-core';
import { send } from '../api/request.ts';
import { Daemon, makeNamespaces } from '../netns/world.ts';
import { makeFolder } from '../store/folder.ts';
import { startApiProgram, type Key } from '../support/api-program.ts';
import { openTab, waitForText, type Tab } from '../support/browser.ts';
import type { Netns } from '../support/netns.ts';
import type { Running } from '../support/process.ts';
import type { Scope } from '../support/scope.ts';
import { runSgctl } from '../support/sgctl.ts';

/** In the first subnet of the default VPC. */
export const WEB = '172.31.0.100';
export const OUTSIDE = '10.9.0.0/24';
/** Where the daemon's file is: a name that no page must take for markup, or write from right to left. */
export const HOSTILE_FILE = '<img src=x onerror=document.title=1>\u202egpj.yaml';

export interface ApiPageWorld {
  readonly server: Running;
  /** Of the console. */
  readonly port: number;
  readonly key: Key;
  /** Follows the store as the host `here`, and has this control socket. */
  readonly daemon: Daemon;
  readonly socket: string;
  readonly out: Netns;
  /** The id of the group `web`, which the interface with the address WEB has. */
  readonly group: string;
  /** Calls the API; the text of the first such element of the answer. */
  call(
    action: string,
    parameters: Readonly<Record<string, string>>,
    element?: string,
  ): Promise<string>;
  /** Starts a daemon that follows the store as a host. @param text of its configuration; absent: that of the first */
  startHost(host: string, text?: string): Promise<Daemon>;
  /** Makes an interface on a host, in a namespace. @returns its id */
  makeInterface(place: InterfacePlace): Promise<string>;
  /** Makes another key. */
  makeKey(name: string, policy: 'read' | 'write'): Key;
  deleteKey(key: Key): void;
}

export interface InterfacePlace {
  readonly host: string;
  /** The path of the namespace. */
  readonly netns: string;
  readonly address: string;
  readonly group: string;
}

export async function makeApiPageWorld(scope: Scope): Promise<ApiPageWorld> {
  const folder = makeFolder(scope);
  const { web, out } = await makeNamespaces(scope, ['web', 'out']);
  const socket = join(folder, 'here.sock');
  const uplink = `uplink: { tun: up0, netns: ${out.path}, addresses: [10.9.0.1/24] }`;
  const declared = `${uplink}\nsecurityGroups:\n  declared: {}\n`;
  const { server, url, key, store } = await startApiProgram(folder, {
    policy: 'write',
    more: ['--console', '127.0.0.1:0', '--console-daemon', socket],
  });
  scope.after(() => server.stop());
  const [, port] = await server.waitFor(/"console":"http:\/\/127\.0\.0\.1:(\d+)\/"/);
  const startHost: ApiPageWorld['startHost'] = (host, text = declared) => {
    const place = join(folder, host);
    mkdirSync(place, { recursive: true });
    const file = join(place, HOSTILE_FILE);
    writeFileSync(file, text);
    const control = join(folder, `${host}.sock`);
    return Daemon.start(scope, file, ['--store', store, '--host', host, '--control', control]);
  };
  const daemon = await startHost('here');
  const call: ApiPageWorld['call'] = async (action, parameters, element) => {
    const body = new URLSearchParams({ Action: action, Version: '2016-11-15', ...parameters });
    const answer = await send(Number(new URL(url).port), key, { body: body.toString() });
    assert.equal(answer.status, 200, answer.body);
    return element === undefined
      ? ''
      : (new RegExp(`<${element}>(.*?)</`).exec(answer.body)?.[1] ?? '');
  };
  const keys = ['--keys', join(folder, 'keys.json')];
  const keyCommand = (...words: readonly string[]): string => {
    const { code, stdout, stderr } = runSgctl(['api', 'key', ...words, ...keys], {});
    assert.equal(code, 0, stderr);
    return stdout;
  };
  const names = { GroupName: 'web', GroupDescription: 'who may ping' };
  const group = await call('CreateSecurityGroup', names, 'groupId');
  const makeInterface = (place: InterfacePlace): Promise<string> => placeInterface(call, place);
  await makeInterface({ host: 'here', netns: web.path, address: WEB, group });
  return {
    ...{ server, port: Number(port), key, daemon, socket, out, call, group },
    ...{ startHost, makeInterface },
    makeKey: (name, policy) =>
      JSON.parse(keyCommand('create', name, '--policy', policy, '--json')) as Key,
    deleteKey: ({ accessKeyId }) => void keyCommand('delete', accessKeyId),
  };
}

async function placeInterface(
  call: ApiPageWorld['call'],
  { host, netns, address, group }: InterfacePlace,
): Promise<string> {
  const zone = { 'Filter.1.Name': 'availability-zone', 'Filter.1.Value.1': 'us-east-1a' };
  const subnet = await call('DescribeSubnets', zone, 'subnetId');
  const tags = { netns, device: 'eth0', host };
  const made = {
    ...{ SubnetId: subnet, PrivateIpAddress: address, 'SecurityGroupId.1': group },
    'TagSpecification.1.ResourceType': 'network-interface',
    ...Object.fromEntries(
      Object.entries(tags).flatMap(([name, value], i) => [
        [`TagSpecification.1.Tag.${i + 1}.Key`, `secgroupd:${name}`],
        [`TagSpecification.1.Tag.${i + 1}.Value`, value],
      ]),
    ),
  };
  return call('CreateNetworkInterface', made, 'networkInterfaceId');
}

/** Opens the page in a browser context of its own, and waits for the form. */
export async function openForm(
  browser: Browser,
  { port }: ApiPageWorld,
  size: readonly [width: number, height: number] = [1440, 900],
): Promise<Tab> {
  const tab = await openTab(await browser.createBrowserContext(), ...size);
  await tab.page.goto(`http://127.0.0.1:${port}/`);
  await waitForText(tab.page, 'Access key id');
  return tab;
}

/** Types a key into the form, and sends it. */
export async function typeKey(page: Page, { accessKeyId, secretAccessKey }: Key): Promise<void> {
  await page.click('form input[type=text]', { count: 3 });
  await page.keyboard.type(accessKeyId);
  await page.click('form input[type=password]', { count: 3 });
  await page.keyboard.type(secretAccessKey);
  await page.keyboard.press('Enter');
}

/** The page of somebody who is signed in, at a view. @param text it is there when it shows this */
export async function openSignedIn(
  browser: Browser,
  world: ApiPageWorld,
  hash: string,
  text: string,
  key: Key = world.key,
): Promise<Tab> {
  const tab = await openForm(browser, world);
  await typeKey(tab.page, key);
  await waitForText(tab.page, 'Matrix');
  await tab.page.evaluate(`location.hash = ${JSON.stringify(hash)}`);
  await waitForText(tab.page, text);
  return tab;
}
