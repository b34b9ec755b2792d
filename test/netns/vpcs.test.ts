/**
 * Two VPCs in one daemon, with groups of the same names: a rule that names a group never admits a member of the other
 * VPC.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Netns } from '../support/netns.ts';
import { canRun, Daemon, makeNamespaces, ping, pingInVain, temporaryFile } from './world.ts';

const ADDRESSES = {
  prodWeb: '10.0.0.11',
  prodClient: '10.0.0.12',
  devWeb: '10.1.0.11',
  devClient: '10.1.0.12',
} as const;
type Name = keyof typeof ADDRESSES;

function configuration(names: Record<Name, Netns>): string {
  const line = (name: Name, vpc: string, group: string): string =>
    `  ${name}: { vpc: ${vpc}, device: { netns: ${names[name].path}, name: eth0 }, addresses: [${ADDRESSES[name]}], securityGroups: [${group}] }`;
  return `
vpcs:
  prod: { cidrBlocks: [10.0.0.0/24] }
  dev: { cidrBlocks: [10.1.0.0/24] }
securityGroups:
  prod/web: { ingress: [{ protocol: icmp, type: 8, from: 'sg:client' }] }
  prod/client: {}
  dev/web:
    ingress:
      - { protocol: icmp, type: 8, from: 'sg:client' }
      - { protocol: icmp, type: 8, from: ${ADDRESSES.prodWeb}/32 }
  dev/client: {}
interfaces:
${[
  line('prodWeb', 'prod', 'web'),
  line('prodClient', 'prod', 'client'),
  line('devWeb', 'dev', 'web'),
  line('devClient', 'dev', 'client'),
].join('\n')}
metrics: { listen: '127.0.0.1:0' }
`;
}

test('groups of two VPCs', async (t) => {
  if (!canRun(t)) return;
  const names = await makeNamespaces(t, ['prodWeb', 'prodClient', 'devWeb', 'devClient']);
  const file = temporaryFile(t, 'vpcs.yaml', configuration(names));
  const daemon = await Daemon.start(t, file);

  await t.test('a member of the group of its own VPC is admitted', async () => {
    const drops = await daemon.dropsDuring(async () => {
      assert.equal((await ping(names.prodClient, ADDRESSES.prodWeb)).code, 0);
      assert.equal((await ping(names.devClient, ADDRESSES.devWeb)).code, 0);
    });
    assert.deepEqual(drops, {});
  });

  await t.test('one of the group of the same name in the other VPC is not', async () => {
    const drops = await daemon.dropsDuring(async () => {
      await pingInVain(names.devClient, ADDRESSES.prodWeb);
      await pingInVain(names.prodClient, ADDRESSES.devWeb);
    });
    assert.deepEqual(Object.keys(drops).sort(), [
      'devWeb ingress ingress-rules',
      'prodWeb ingress ingress-rules',
    ]);
  });

  await t.test('a rule for a block admits whoever is in it, of any VPC', async () => {
    assert.equal((await ping(names.prodWeb, ADDRESSES.devWeb)).code, 0);
  });
});
