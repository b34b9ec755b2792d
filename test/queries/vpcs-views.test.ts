/** Several VPCs to the packet path, and to those who ask about them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { answerQuestion } from '../../src/explain/question-ends.ts';
import { findEndpoint } from '../../src/explain/question-names.ts';
import { groupIdOf } from '../../src/queries/rules-view.ts';
import { explain } from '../../src/explain/explain.ts';
import { peerContains } from '../../src/policy/members.ts';
import { isSameVpc } from '../../src/policy/vpcs.ts';
import { loadText, problemLines } from '../config/config-text.ts';

const TEXT = `\
vpcs: { a: { cidrBlocks: [10.1.0.0/16] }, b: { cidrBlocks: [10.2.0.0/16] } }
securityGroups:
  a/web: { ingress: [{ protocol: tcp, ports: 80, from: self }] }
  b/web: { ingress: [{ protocol: tcp, ports: 80, from: self }, { protocol: tcp, ports: 443, from: 10.1.0.0/16 }] }
interfaces:
  x: { device: { netns: x, name: eth0 }, addresses: [10.1.0.11], securityGroups: [a/web] }
  y: { device: { netns: y, name: eth0 }, addresses: [10.2.0.11], securityGroups: [b/web] }
  z: { device: { netns: z, name: eth0 }, addresses: [10.2.0.12], securityGroups: [b/web] }
`;

function ask(from: string, to: string, port: number): ReturnType<typeof explain> {
  const { config } = loadText(TEXT);
  const [one, other] = [from, to].map((name) => {
    const found = findEndpoint(config!, name);
    assert.ok(found.ok);
    return found.value;
  });
  return explain({ model: config!.model, special: config!.special, hasUplink: false }, {
    from: one,
    to: other,
    service: { kind: 'ports', protocol: 6, port },
  } as never);
}

test('a reference admits members in the own VPC, a block those of another as any stranger', () => {
  assert.equal(ask('z', 'y', 80).verdict, 'allowed');
  assert.equal(ask('x', 'y', 80).verdict, 'refused');
  assert.equal(ask('x', 'y', 443).verdict, 'allowed');
});

test('explanations name the VPC where there are several', () => {
  const [answer] = ask('x', 'y', 80).answers;
  assert.deepEqual(
    answer.gates.map(({ groups }) => groups.map(({ name }) => name)),
    [['a/web'], ['b/web']],
  );
  assert.match(answer.why, /sg:b\/web/);
});

test('a name that two VPCs have is answered with both', () => {
  const { groups } = loadText(TEXT).config!.model;
  assert.throws(
    () => groupIdOf(groups, 'web'),
    /'web' could be any of 2 groups: a\/web, b\/web; write one of them/,
  );
  assert.equal(groups.get(groupIdOf(groups, 'sg:b/web'))!.vpc!.name, 'b');
  const found = answerQuestion(loadText(TEXT).config!, {
    from: 'web',
    to: 'x',
    service: 'tcp',
    detail: '80',
  });
  assert.ok(!found.ok);
  assert.match(found.message, /'web' could be any of 2 groups: a\/web, b\/web/);
});

/** The twin: what is wrong with a configuration of groups a reference each and interfaces, read off the input. */
interface Made {
  readonly groups: readonly { readonly vpc: number; readonly from: number }[];
  readonly members: readonly { readonly groups: readonly number[] }[];
}

function isAllowed({ groups, members }: Made): boolean {
  const references = groups.every(({ vpc, from }) => groups[from].vpc === vpc);
  return (
    references &&
    members.every((one) => one.groups.every((id) => groups[id].vpc === groups[one.groups[0]].vpc))
  );
}

test('what is taken is what a plain reading takes, and then no reference leads out of a VPC', () => {
  const made = fc.integer({ min: 1, max: 5 }).chain((count) => {
    const index = fc.nat({ max: count - 1 });
    return fc.record({
      groups: fc.array(fc.record({ vpc: fc.nat({ max: 2 }), from: index }), {
        minLength: count,
        maxLength: count,
      }),
      members: fc.array(
        fc.record({ groups: fc.uniqueArray(index, { minLength: 1, maxLength: 3 }) }),
        { maxLength: 4 },
      ),
    });
  });
  let taken = 0;
  fc.assert(
    fc.property(made, (one) => {
      const label = (id: number): string => `v${one.groups[id].vpc}/g${id}`;
      const groups = one.groups.map(
        ({ from }, id) =>
          `  ${label(id)}: { ingress: [{ protocol: all, from: 'sg:${label(from)}' }] }\n`,
      );
      const members = one.members.map(
        (member, i) =>
          `  e${i}: { device: { netns: e${i}, name: eth0 }, addresses: [10.0.0.${i + 11}], securityGroups: [${member.groups.map(label).join(', ')}] }\n`,
      );
      const text = `vpcs: { v0: {}, v1: {}, v2: {} }\nsecurityGroups:\n${groups.join('')}${members.length === 0 ? '' : `interfaces:\n${members.join('')}`}`;
      const { config, problems } = loadText(text);
      const errors = problemLines(problems.filter(({ severity }) => severity === 'error'));
      assert.equal(errors.length === 0, isAllowed(one), `${text}\n${errors.join('\n')}`);
      for (const line of errors) assert.match(line, / other-vpc /);
      if (config === undefined) return;
      taken++;
      const { model } = config;
      for (const group of model.groups.values()) {
        for (const { peer } of group.ingress) {
          for (const network of model.interfaces.values()) {
            const isNamed = network.addresses.some((own) => peerContains(peer, own, model));
            if (peer.kind === 'group' && isNamed) assert.ok(isSameVpc(group, network));
          }
        }
      }
    }),
    { numRuns: 300 },
  );
  assert.ok(taken > 20, `${taken} of 300 were taken`);
});
