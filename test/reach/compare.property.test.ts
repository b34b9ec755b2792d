/** The comparison of two inputs against its slow twin: the plain judge, asked about single packets between single ends. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseAddress, type Address } from '../../src/addr/address.ts';
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

const KINDS: Readonly<Record<string, DifferenceKind | undefined>> = {
  'no yes': 'newly-allowed',
  'yes no': 'no-longer-allowed',
  'no maybe': 'perhaps-newly-allowed',
  'maybe yes': 'perhaps-newly-allowed',
  'yes maybe': 'perhaps-no-longer-allowed',
  'maybe no': 'perhaps-no-longer-allowed',
};

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
      (before, drawn, from, to, port, isGone) => {
        if (from === to) return;
        const interfaces = new Map([...drawn.interfaces].slice(isGone ? 1 : 0));
        const after = { ...drawn, interfaces };
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
        assert.deepEqual(
          told.map(({ kind }) => kind),
          KINDS[wanted] === undefined ? [] : [KINDS[wanted]],
        );
      },
    ),
    { numRuns: RUNS },
  );
  // Each kind of change was met.
  assert.deepEqual(
    Object.keys(KINDS).filter((kind) => !seen.has(kind)),
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
  const { doubt: _, ...known } = { ...one, groupIds: ['sg-b'] };
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
