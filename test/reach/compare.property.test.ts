/** The comparison of two inputs against its slow twin: the plain judge, asked about single packets between single ends. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseAddress, type Address } from '../../src/addr/address.ts';
import { INTERFACE_AUDIT } from '../../src/policy/audit.ts';
import { judgeCertainly, type Certainty } from '../../src/policy/doubt.ts';
import type { Direction, PolicyModel, Rule, SecurityGroup } from '../../src/policy/model.ts';
import { servicesOf } from '../../src/policy/service-set.ts';
import { compareModels, type DifferenceKind } from '../../src/reach/compare.ts';
import { INTERFACES, models } from '../policy/doubt-models.ts';

const RUNS = 1500;
const PORTS = [1, 2, 3];
/** Of nobody, and outside of all blocks but the whole world. */
const STRANGER = mustParse('203.0.113.9');

type Three = 'no' | 'maybe' | 'yes';

function mustParse(text: string): Address {
  const parsed = parseAddress(text);
  assert.ok(parsed.ok);
  return parsed.value;
}

function threeOf({ kind }: Certainty): Three {
  return kind === 'admits' ? 'yes' : kind === 'refuses' ? 'no' : 'maybe';
}

/** What the plain judge says of a packet; `undefined` stands for the stranger, who has no gate. */
function judge(
  model: PolicyModel,
  from: string | undefined,
  to: string | undefined,
  port: number,
): Three {
  const addressOf = (id: string | undefined): Address | undefined =>
    id === undefined ? STRANGER : model.interfaces.get(id)?.addresses[0];
  const [source, target] = [addressOf(from), addressOf(to)];
  if (source === undefined || target === undefined) return 'no';
  const ask = (id: string | undefined, direction: Direction, remote: Address): Three =>
    id === undefined
      ? 'yes'
      : threeOf(
          judgeCertainly(model, id, direction, {
            protocol: 6,
            port,
            icmpType: 0,
            icmpCode: 0,
            remote,
          }),
        );
  const gates = [ask(from, 'egress', target), ask(to, 'ingress', source)];
  if (gates.includes('no')) return 'no';
  return gates.includes('maybe') ? 'maybe' : 'yes';
}

/** The same with all rules that only audit among the others. */
function admittingAudits(model: PolicyModel): PolicyModel {
  const groups = new Map(
    [...model.groups].map(([id, group]): [string, SecurityGroup] => {
      const of = (direction: Direction): readonly Rule[] =>
        [...group[direction], ...(group.audited ?? []).filter((rule) => rule.direction === direction)]; // prettier-ignore
      return [id, { ...group, ingress: of('ingress'), egress: of('egress') }];
    }),
  );
  const [anyone] = groups.values();
  const everything = { ...anyone, id: 'sg-all', name: 'all', gaps: {}, possible: [], memberGaps: [], ingress: INTERFACE_AUDIT.slice(0, 2), egress: INTERFACE_AUDIT.slice(2) }; // prettier-ignore
  groups.set(everything.id, everything);
  const interfaces = [...model.interfaces].map(([id, one]) =>
    [id, one.audit === true ? { ...one, groupIds: [...one.groupIds, everything.id] } : one] as const); // prettier-ignore
  return { ...model, groups, interfaces: new Map(interfaces) };
}

/** What is to be told, where both are judged so and pass so. */
function kindsOf(wanted: string, passed: boolean, passes: boolean): readonly string[] {
  const kind = KINDS[wanted];
  if (wanted === 'no yes') return [passed ? `${kind} by audit` : kind!];
  if (wanted === 'yes no') return [passes ? `${kind} by audit` : kind!];
  if (wanted !== 'no no') return kind === undefined ? [] : [kind];
  if (passed === passes) return [];
  return [passes ? 'newly-audited' : 'no-longer-audited'];
}

const KINDS: Readonly<Record<string, DifferenceKind | undefined>> = {
  'no yes': 'newly-allowed',
  'yes no': 'no-longer-allowed',
  'no maybe': 'perhaps-newly-allowed',
  'maybe yes': 'perhaps-newly-allowed',
  'yes maybe': 'perhaps-no-longer-allowed',
  'maybe no': 'perhaps-no-longer-allowed',
};

const AUDIT_KINDS = [
  'newly-allowed by audit',
  'no-longer-allowed by audit',
  'newly-audited',
  'no-longer-audited',
];

/** Whether the stranger is in the part of the world that a label tells: blocks, or a range. */
function isStranger(label: string): boolean {
  const at = STRANGER.words[0] >>> 0;
  const numberOf = (text: string): number => mustParse(text).words[0] >>> 0;
  const [first, last] = label.split('-');
  if (last !== undefined) return numberOf(first) <= at && at <= numberOf(last);
  return label.split(' ').some((block) => {
    const [base, length] = block.split('/');
    const start = numberOf(base);
    return start <= at && at < start + 2 ** (32 - Number(length));
  });
}

test('every packet between interfaces, and from and to a stranger, is told as the plain judge has it', () => {
  const seen = new Map<string, number>();
  fc.assert(
    fc.property(
      models,
      models,
      fc.constantFrom(...INTERFACES, undefined),
      fc.constantFrom(...INTERFACES, undefined),
      fc.constantFrom(...PORTS),
      fc.boolean(),
      fc.constantFrom('drawn', 'drawn', 'drawn', 'rules for audit', 'audit for rules'),
      (first, drawn, from, to, port, isGone, change) => {
        if (from === to) return;
        const interfaces = new Map([...drawn.interfaces].slice(isGone ? 1 : 0));
        const second = change === 'drawn' ? { ...drawn, interfaces } : first;
        const before = change === 'audit for rules' ? admittingAudits(first) : first;
        const after = change === 'rules for audit' ? admittingAudits(second) : second;
        const wanted = `${judge(before, from, to, port)} ${judge(after, from, to, port)}`;
        seen.set(wanted, (seen.get(wanted) ?? 0) + 1);
        const { differences, isTooLarge } = compareModels(before, after);
        assert.ok(!isTooLarge);
        const [[number]] = servicesOf({ protocol: 6, fromPort: port, toPort: port });
        const isEnd = (end: string | undefined, labels: readonly string[]): boolean =>
          end === undefined
            ? labels.filter((one) => /^[\d.]+[/-]/.test(one)).some(isStranger)
            : labels.includes(end);
        const told = differences.filter(
          (one) =>
            isEnd(from, one.from) &&
            isEnd(to, one.to) &&
            one.families.includes(4) &&
            one.services.some(([first, last]) => first <= number && number <= last),
        );
        const [passed, passes] = [before, after].map((one) => judge(admittingAudits(one), from, to, port) === 'yes'); // prettier-ignore
        const kinds = kindsOf(wanted, passed, passes);
        for (const kind of kinds) seen.set(kind, (seen.get(kind) ?? 0) + 1);
        assert.deepEqual(
          told.map(({ kind, byAudit }) => `${kind}${byAudit === true ? ' by audit' : ''}`),
          kinds,
        );
      },
    ),
    { numRuns: RUNS },
  );
  // Each kind of change was met.
  assert.deepEqual(
    [...Object.keys(KINDS), ...AUDIT_KINDS].filter((kind) => !seen.has(kind)),
    [],
  );
});

test('an input allows what it allows: no difference', () => {
  fc.assert(
    fc.property(models, (model) => {
      assert.deepEqual(compareModels(model, model).differences, []);
    }),
  );
});

test('that somebody known comes into a group takes nothing from who may be in it', () => {
  const [model] = fc.sample(models, { numRuns: 1, seed: 1 });
  const origin = { file: 'x', line: 1, column: 1, path: '' };
  const rule = (direction: Direction, groupId: string): Rule => ({
    ...{ id: `sgr-${direction}`, direction, protocol: 6, fromPort: 1, toPort: 1 },
    ...{ peer: { kind: 'group', groupId }, description: '', origin },
  });
  const group = (id: string, ingress: readonly Rule[], egress: readonly Rule[]): SecurityGroup => ({
    ...{ id, name: id.slice(-1), description: '', ingress, egress, origin },
  });
  const all = [
    group('sg-a', [rule('ingress', 'sg-b')], []),
    group('sg-b', [], [rule('egress', 'sg-a')]),
  ];
  const [one] = model.interfaces.values();
  const { doubt: _, audit: __, ...known } = { ...one, groupIds: ['sg-b'] };
  const before: PolicyModel = {
    groups: new Map(all.map((each) => [each.id, each])),
    ...{ prefixLists: new Map(), interfaces: new Map(), isElsewhere: true },
  };
  const after = { ...before, interfaces: new Map([[known.id, known]]) };
  assert.deepEqual(
    compareModels(before, after).differences.map(({ kind, from, to }) => [kind, from, to]),
    [['newly-allowed', [known.name], ['anybody in sg:a']]],
  );
});
