/** Plans and answers that were cut off or changed by somebody: nothing throws, whatever comes of it. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { loadInput } from '../../src/inputs/load-input.ts';
import { PLAN, writeFolder } from './support.ts';

const RUNS = 300;
const options = { netnsDirectory: '/run/netns' };
const PLANNED = JSON.parse(readFileSync(PLAN, 'utf8')) as unknown;
const ANSWERED = {
  SecurityGroups: [
    {
      GroupId: 'sg-1',
      GroupName: 'a',
      VpcId: 'vpc-1',
      IpPermissions: [
        {
          IpProtocol: 'tcp',
          FromPort: 1,
          ToPort: 2,
          IpRanges: [{ CidrIp: '10.0.0.0/8' }],
          UserIdGroupPairs: [{ GroupId: 'sg-1' }],
        },
      ],
      IpPermissionsEgress: [],
    },
  ],
  NetworkInterfaces: [
    {
      NetworkInterfaceId: 'eni-1',
      PrivateIpAddress: '10.0.0.1',
      Groups: [{ GroupId: 'sg-1' }],
      Attachment: { InstanceId: 'i-1' },
    },
  ],
  Reservations: [{ Instances: [{ InstanceId: 'i-1', Tags: [{ Key: 'Name', Value: 'x' }] }] }],
  PrefixLists: [
    { PrefixListId: 'pl-1', PrefixListName: 'p', AddressFamily: 'IPv4', MaxEntries: 1 },
  ],
  Vpcs: [{ VpcId: 'vpc-1', CidrBlock: '10.0.0.0/16' }],
  Subnets: [{ SubnetId: 'subnet-1', VpcId: 'vpc-1', CidrBlock: '10.0.0.0/24' }],
};

/** Puts something else in one place of the tree. */
function mutate(value: unknown, path: readonly number[], other: unknown): unknown {
  const [step, ...rest] = path;
  if (step === undefined || typeof value !== 'object' || value === null) return other;
  const keys = Object.keys(value);
  if (keys.length === 0) return other;
  const key = keys[step % keys.length];
  const changed = mutate((value as Record<string, unknown>)[key], rest, other);
  if (Array.isArray(value))
    return value.map((one: unknown, i) => (String(i) === key ? changed : one));
  return { ...value, [key]: changed };
}

const others = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    false,
    0,
    -1,
    1e308,
    '',
    'x',
    '10.0.0.0/33',
    '::/0',
    'sg-1',
    '__proto__',
    [],
    {},
    [[]],
    [null],
    { references: ['module.a.b.c', 'var.x', 'each.value'] },
    { references: ['module.tiers', 'module.tiers.ids["'] },
  ),
  fc.jsonValue({ maxDepth: 3 }),
);

for (const [what, value] of [
  ['a plan', PLANNED],
  ['an answer', ANSWERED],
] as const) {
  test(`${what}, changed in some places: it loads, or problems say why not`, (t) => {
    const file = join(writeFolder(t, {}), 'input.json');
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.array(fc.nat({ max: 60 }), { minLength: 1, maxLength: 9 }), others), {
          minLength: 1,
          maxLength: 4,
        }),
        (places) => {
          let changed = value;
          for (const [path, other] of places) changed = mutate(changed, path, other);
          writeFileSync(file, JSON.stringify(changed) ?? '');
          const { config, problems } = loadInput(file, options);
          assert.equal(
            config === undefined,
            problems.some(({ severity }) => severity === 'error'),
          );
        },
      ),
      { numRuns: RUNS },
    );
  });

  test(`${what}, cut off: one error`, (t) => {
    const file = join(writeFolder(t, {}), 'input.json');
    const text = JSON.stringify(value);
    fc.assert(
      fc.property(fc.nat({ max: text.length - 1 }), (length) => {
        writeFileSync(file, text.slice(0, length));
        const { config, problems } = loadInput(file, options);
        assert.equal(config, undefined);
        assert.ok(problems.some(({ severity }) => severity === 'error'));
      }),
      { numRuns: 60 },
    );
  });
}

test('references in a circle, modules without end, and brackets without measure end', (t) => {
  const circle = {
    planned_values: {
      root_module: {
        resources: [
          {
            address: 'aws_instance.a',
            mode: 'managed',
            type: 'aws_instance',
            name: 'a',
            values: {},
          },
        ],
      },
    },
    resource_changes: [
      {
        address: 'aws_instance.a',
        mode: 'managed',
        type: 'aws_instance',
        name: 'a',
        change: { actions: ['create'], after_unknown: { vpc_security_group_ids: true } },
      },
    ],
    configuration: {
      root_module: {
        resources: [
          {
            address: 'aws_instance.a',
            mode: 'managed',
            type: 'aws_instance',
            name: 'a',
            expressions: { vpc_security_group_ids: { references: ['module.m.x', 'module.m.x'] } },
          },
        ],
        module_calls: {
          m: {
            module: {
              outputs: { x: { expression: { references: ['module.m.x', 'module.m.x'] } } },
              module_calls: { m: {} },
            },
          },
        },
      },
    },
  };
  const nested = `${'{"address":"module.m","child_modules":['.repeat(5000)}{}${']}'.repeat(5000)}`;
  const folder = writeFolder(t, {
    'circle.json': circle,
    'nested.json': `{"planned_values":{"root_module":${nested}}}`,
    'deep.json': `{"planned_values":${'['.repeat(200_000)}${']'.repeat(200_000)}}`,
  });
  for (const [i, part] of ['after_unknown', 'after'].entries())
    writeFileSync(
      join(folder, `part-${i}.json`),
      `{"planned_values":{},"resource_changes":[{"address":"aws_instance.a","type":"aws_instance","change":{"actions":["create"],"${part}":{"x":${'['.repeat(90_000)}${']'.repeat(90_000)}}}}]}`,
    );
  for (const name of ['part-0.json', 'part-1.json', 'circle.json', 'nested.json', 'deep.json'])
    loadInput(join(folder, name), options);
});
