/** Recorded traffic at network ACLs and routes: which entry refuses, what answers what is refused, what is in doubt. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Config } from '../../src/config/config.ts';
import { ANY, type AclEntry, type SubnetFilters } from '../../src/policy/model.ts';
import type { CaptureCounts } from '../../src/replay/judge-capture.ts';
import type { FlowLogCounts } from '../../src/replay/judge-flow-log.ts';
import { tcp4, udp4 } from '../packets/build.ts';
import { mustCidr } from '../support/policy.ts';
import { captureOf, configOf, fileOf, linesOf, replayed } from './support.ts';

const WEB = '10.0.0.1';
const DB = '10.0.1.2';
const CLIENT = '203.0.113.9';

const OPEN = configOf({
  groups: { all: { ingress: ['all from 0.0.0.0/0'], egress: ['all to 0.0.0.0/0'] } },
  interfaces: {
    web: { addresses: [WEB], groups: ['all'] },
    db: { addresses: [DB], groups: ['all'] },
  },
});

/** `90 deny tcp 22-22 10.0.0.0/8`; a block that is ? could not be read. */
function entriesOf(direction: 'ingress' | 'egress', texts: readonly string[]): AclEntry[] {
  return texts.map((text): AclEntry => {
    const [number, verb, protocol, ports, block] = text.split(' ');
    const [fromPort, toPort] = ports.split('-').map(Number);
    return {
      ...{ direction, number: Number(number), isAllow: verb === 'allow' },
      ...(protocol === 'all'
        ? { protocol: ANY, fromPort: ANY, toPort: ANY }
        : { protocol: protocol === 'tcp' ? 6 : 17, fromPort, toPort }),
      block: block === '?' ? undefined : mustCidr(block),
    };
  });
}

function aclOf(
  name: string,
  ingress: readonly string[],
  egress: readonly string[],
): SubnetFilters & { readonly acl: object } {
  const entries = [...entriesOf('ingress', ingress), ...entriesOf('egress', egress)];
  return { id: `subnet-${name}`, acl: { id: `acl-${name}`, entries } };
}

function withSubnets(config: Config, subnets: Readonly<Record<string, SubnetFilters>>): Config {
  const interfaces = [...config.model.interfaces].map(([id, one]) => {
    const subnet = subnets[one.name] as SubnetFilters | undefined;
    return [id, subnet === undefined ? one : { ...one, subnet }] as const;
  });
  return { ...config, model: { ...config.model, interfaces: new Map(interfaces) } };
}

const ALL = '100 allow all - 0.0.0.0/0';
const syn = (src: string, dst: string, dstPort: number): Uint8Array =>
  tcp4(src, dst, { srcPort: 40_000, dstPort, flags: 'S', seq: 100 });
const synAck = (src: string, dst: string, srcPort: number): Uint8Array =>
  tcp4(src, dst, { srcPort, dstPort: 40_000, flags: 'SA', seq: 500, ack: 101 });
const ack = (src: string, dst: string, dstPort: number): Uint8Array =>
  tcp4(src, dst, { srcPort: 40_000, dstPort, flags: 'A', seq: 101, ack: 501 });

const line = (ends: string, ports: string, protocol = 6): string =>
  `2 1 eni-x ${ends} ${ports} ${protocol} 10 1000 1700000000 1700000060 ACCEPT OK`;

test('the entry of the ACL that refuses is told, and its answers follow', async (t) => {
  const config = withSubnets(OPEN, { web: aclOf('a', ['90 deny tcp 22-22 0.0.0.0/0', ALL], [ALL]) });
  const file = captureOf(t, [
    [0, syn(CLIENT, WEB, 22)],
    [1, synAck(WEB, CLIENT, 22)],
    [2, ack(CLIENT, WEB, 22)],
    [3, syn(CLIENT, WEB, 443)],
    [4, synAck(WEB, CLIENT, 443)],
  ]);
  const result = await replayed([file], config);
  assert.deepEqual(linesOf(result), [`dropped web ingress tcp 22 from ${CLIENT} x2 [network-acl]`]);
  const [{ meaning, dependsOn, isByRules }] = result.findings;
  assert.equal(
    meaning,
    'the network ACL acl-a of subnet-a, on the way in: entry 90 denies tcp 22 from 0.0.0.0/0',
  );
  assert.deepEqual([dependsOn, isByRules, result.refused.has('dropped')], [[], false, true]);
  const { passed, dropped, follows } = result.counts as CaptureCounts;
  assert.deepEqual([passed, dropped, follows], [2, 3, 1]);
}); // prettier-ignore

test('an ACL without ephemeral ports stops the answers: in a capture they, in a flow log the flow', async (t) => {
  const subnets = { db: aclOf('b', ['100 allow tcp 5432-5432 10.0.0.0/16'], ['100 allow tcp 443-443 0.0.0.0/0']) };
  const config = withSubnets(OPEN, subnets);
  const file = captureOf(t, [
    [0, syn(WEB, DB, 5432)],
    [1, synAck(DB, WEB, 5432)],
    [2, ack(WEB, DB, 5432)],
    [3, udp4(WEB, DB, { srcPort: 40_000, dstPort: 5432 })],
  ]);
  const captured = await replayed([file], config);
  assert.deepEqual(linesOf(captured), [
    'dropped db egress tcp from port 5432 to web x1 [network-acl]',
    'dropped db ingress udp 5432 from web x1 [network-acl]',
  ]);
  assert.match(captured.findings[0].meaning, /acl-b of subnet-b, on the way out: no entry allows it/);
  const { passed, dropped, follows } = captured.counts as CaptureCounts;
  assert.deepEqual([passed, dropped, follows], [1, 3, 1]);
  const log = [line(`${WEB} ${DB}`, '40000 5432'), line(`${DB} ${WEB}`, '5432 40000')].join('\n');
  const logged = await replayed([fileOf(t, 'a.log', log)], config);
  assert.deepEqual(linesOf(logged), ['dropped db ingress tcp 5432 from web x20 [network-acl]']);
  assert.match(logged.findings[0].meaning, /subnet-b, for answers on the way out: no entry allows it/);
  assert.deepEqual((logged.counts as FlowLogCounts).dropped, 2);
}); // prettier-ignore

test('routes are those of who opened, and of the other end for its answers', async (t) => {
  const nat = { block: mustCidr('0.0.0.0/0'), target: 'nat-1', isBlackhole: false };
  const routes = { id: 'rtb-a', routes: [nat], isPartial: false };
  const config = withSubnets(OPEN, { web: { id: 'subnet-a', routes } });
  const file = captureOf(t, [
    [0, syn(WEB, CLIENT, 443)],
    [1, synAck(CLIENT, WEB, 443)],
    [2, syn(CLIENT, WEB, 80)],
    [3, synAck(WEB, CLIENT, 80)],
    [4, ack(CLIENT, WEB, 80)],
  ]);
  const { findings, counts, ...rest } = await replayed([file], config);
  assert.deepEqual(linesOf({ findings, counts, ...rest }), [
    `dropped web ingress tcp 80 from ${CLIENT} x2 [route]`,
  ]);
  assert.match(findings[0].meaning, /rtb-a of subnet-a: its route is nat-1, which lets nobody in/);
  const { passed, follows } = counts as CaptureCounts;
  assert.deepEqual([passed, follows], [2, 1]);
  const log = [line(`${WEB} ${CLIENT}`, '40000 443'), line(`${CLIENT} ${WEB}`, '40000 80')];
  const logged = await replayed([fileOf(t, 'a.log', log.join('\n'))], config);
  assert.deepEqual(linesOf(logged), [`dropped web ingress tcp 80 from ${CLIENT} x10 [route]`]);
});

test('what an entry that nobody can read may refuse is dropped, and told as not decidable', async (t) => {
  const config = withSubnets(OPEN, { web: aclOf('a', ['90 deny tcp 443-443 ?', ALL], [ALL]) });
  const result = await replayed([captureOf(t, [[0, syn(CLIENT, WEB, 443)]])], config);
  assert.deepEqual(linesOf(result), [`dropped web ingress tcp 443 from ${CLIENT} x1 [network-acl]`]);
  assert.deepEqual(result.findings[0].dependsOn, [
    'it may be refused by the network ACL acl-a of subnet-a, on the way in: entry 90 denies what could not be read',
  ]);
}); // prettier-ignore

test('two configurations that differ in an ACL alone', async (t) => {
  const narrow = withSubnets(OPEN, { web: aclOf('a', ['100 allow tcp 443-443 0.0.0.0/0'], [ALL]) });
  const file = captureOf(t, [[0, syn(CLIENT, WEB, 443)], [1, syn(CLIENT, WEB, 80)]]);
  const before = await replayed([file], OPEN, { against: narrow });
  assert.deepEqual(linesOf(before), [`newly-dropped web ingress tcp 80 from ${CLIENT} x1 [network-acl]`]);
  const after = await replayed([file], narrow, { against: OPEN });
  assert.deepEqual(linesOf(after), [`newly-passed web ingress tcp 80 from ${CLIENT} x1 [network-acl]`]);
}); // prettier-ignore

test('within a subnet no ACL is asked', async (t) => {
  const closed = aclOf('a', [], []);
  const config = withSubnets(OPEN, { web: closed, db: closed });
  const { counts } = await replayed([captureOf(t, [[0, syn(WEB, DB, 22)]])], config);
  assert.deepEqual((counts as CaptureCounts).passed, 1);
});
