/** What is in force, as a client of the control socket gets it: the same model, after its way through JSON. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadConfig, type LoadedConfig } from '../../src/config/load-config.ts';
import { readConfigurationView, viewConfiguration } from '../../src/queries/configuration-view.ts';
import { loadText } from '../config/config-text.ts';
import { model as makeModel } from '../support/policy.ts';
import { repositoryRoot } from '../support/repository.ts';

function sent<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}

/** Without what is not there: JSON has no `undefined`. */
function plain(value: unknown): unknown {
  if (value instanceof Map)
    return [...value].map(([key, one]: [unknown, unknown]): unknown => [key, plain(one)]);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  const fields = Object.entries(value).filter(([, one]) => one !== undefined);
  return Object.fromEntries(fields.map(([key, one]) => [key, plain(one)]));
}

const TEXT = `
vpcs: { one: { cidrBlocks: [10.1.0.0/16] }, two: { cidrBlocks: [10.2.0.0/16, "fd00::/56"] } }
securityGroups:
  one/web: { audit: true, egress: [{ protocol: tcp, ports: 443, to: "dns:*.example.com" }] }
  two/web: { revocation: cut, ingress: [{ protocol: icmpv6, from: "fd00::/8", audit: true }] }
interfaces:
  a: { vpc: one, device: { name: a }, addresses: [10.1.0.1], securityGroups: [web] }
  b: { vpc: two, device: { name: b }, addresses: [10.2.0.1, "fd00::1"], securityGroups: [web], audit: true }
`;

const NETNS = { netnsDirectory: '/run/netns' };
const CONFIGS: Readonly<Record<string, LoadedConfig>> = {
  'the demo': loadConfig(join(repositoryRoot(), 'config/demo.yaml'), NETNS),
  'VPCs, audit and DNS names': loadText(TEXT),
};

for (const [name, { config, problems }] of Object.entries(CONFIGS))
  test(`the model of a configuration stays what it is: ${name}`, () => {
    assert.ok(config !== undefined, JSON.stringify(problems));
    const read = readConfigurationView(sent(viewConfiguration(config)));
    for (const key of ['file', 'model', 'interfaces', 'uplink', 'special', 'quotas'] as const)
      assert.deepEqual(plain(read[key]), plain(config[key]), key);
  });

test('so do members on other hosts', () => {
  const { config } = loadText(TEXT);
  const model = {
    ...makeModel({
      groups: { web: {} },
      interfaces: { a: { addresses: ['10.0.0.1'], groups: ['web'] } },
      remote: { far: { addresses: ['10.0.0.9'], groups: ['web'] } },
    }),
    areGroupsStale: true,
  };
  const read = readConfigurationView(sent(viewConfiguration({ ...config!, model }))).model;
  const [[groupId, members]] = model.remoteMembers!;
  assert.deepEqual([...read.remoteMembers!.get(groupId)!], [...members]);
  assert.equal(read.areGroupsStale, true);
});
