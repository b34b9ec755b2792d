/** What is compiled again when something changes, and what is not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { PolicyCompiler } from '../../src/policy/compile.ts';
import type { CompiledPolicy } from '../../src/policy/compiled.ts';
import type { Rule } from '../../src/policy/model.ts';
import { Matcher, NO_RULE } from '../../src/policy/match.ts';
import { RuleNumbers } from '../../src/policy/rule-numbers.ts';
import { hash2, WordTable } from '../../src/policy/word-table.ts';
import { NO_SPECIAL_ADDRESSES } from '../../src/policy/special-addresses.ts';
import { model, mustAddress, type ModelText } from '../support/policy.ts';

const MEMBERS = 10_000;

function address(member: number): string {
  return `10.${1 + (member >> 16)}.${(member >> 8) & 255}.${member & 255}`;
}

function manyMembers(
  count: number,
  ingress: readonly string[] = ['tcp 5432 from sg:clients'],
): ModelText {
  const clients = Array.from(
    { length: count },
    (_, i): [string, ModelText['interfaces'][string]] => [
      `c${i}`,
      { addresses: [address(i)], groups: ['clients'] },
    ],
  );
  return {
    groups: { db: { ingress }, clients: {} },
    interfaces: { db: { addresses: ['10.0.0.1'], groups: ['db'] }, ...Object.fromEntries(clients) },
  };
}

class Compiler {
  private readonly compiler = new PolicyCompiler();
  readonly ruleNumbers = new RuleNumbers();
  private generation = 0;

  get compilations(): number {
    return this.compiler.compilations;
  }

  /** @param change of a rule that keeps its id, as calls make it */
  compile(text: ModelText, change = (rule: Rule): Rule => rule): CompiledPolicy {
    const written = model(text);
    const groups = [...written.groups].map(
      ([id, group]) => [id, { ...group, ingress: group.ingress.map(change) }] as const,
    );
    const built = { ...written, groups: new Map(groups) };
    const ports = new Map([...built.interfaces.keys()].map((id, i) => [id, i + 1]));
    this.generation++;
    const { ruleNumbers, generation } = this;
    return this.compiler.compile({
      model: built,
      ports,
      ruleNumbers,
      special: NO_SPECIAL_ADDRESSES,
      generation,
    });
  }
}

function admits(policy: CompiledPolicy, from: string): boolean {
  const [word] = mustAddress(from).words;
  return new Matcher(policy).match(2 * policy.profiles[1], 4, 6, 5432, word, 0, 0, 0) !== NO_RULE;
}

test(`a group with ${MEMBERS} members changes without its rules being compiled again`, () => {
  const compiler = new Compiler();
  const before = compiler.compile(manyMembers(MEMBERS));
  assert.equal(admits(before, address(MEMBERS - 1)), true);
  assert.equal(admits(before, address(MEMBERS)), false);
  const more = compiler.compile(manyMembers(MEMBERS + 1));
  assert.equal(admits(more, address(MEMBERS)), true);
  const fewer = compiler.compile(manyMembers(MEMBERS - 1));
  assert.equal(admits(fewer, address(MEMBERS - 1)), false);
  assert.equal(compiler.compilations, 1);
  assert.equal(fewer.rules, before.rules, 'the very same table');
});

test('a rule that changes, or a new set of groups on an interface, is compiled', () => {
  const compiler = new Compiler();
  compiler.compile(manyMembers(2));
  const changed = compiler.compile(manyMembers(2, ['tcp 5433 from sg:clients']));
  assert.equal(compiler.compilations, 2);
  assert.equal(admits(changed, address(0)), false);
  const text = manyMembers(2);
  const both = {
    ...text,
    interfaces: { ...text.interfaces, db: { addresses: ['10.0.0.1'], groups: ['db', 'clients'] } },
  };
  assert.equal(admits(compiler.compile(both), '10.0.0.1'), true, 'it is a member now');
  assert.equal(compiler.compilations, 3);
});

test('a rule that decides something else and keeps its id is compiled, and has another number', () => {
  const compiler = new Compiler();
  const text = manyMembers(2, ['tcp 5432 from sg:clients', 'tcp 22 from ::/0']);
  const numbers: number[] = [];
  for (const port of [5432, 5433, 5432]) {
    let changed: Rule | undefined;
    const policy = compiler.compile(text, (rule) => {
      if (rule.fromPort !== 5432) return rule;
      changed = { ...rule, fromPort: port, toPort: port };
      return changed;
    });
    assert.equal(admits(policy, address(0)), port === 5432, `port ${port}`);
    numbers.push(compiler.ruleNumbers.numberOf(changed!));
    assert.equal(compiler.ruleNumbers.ruleOf(numbers.at(-1)!), changed);
  }
  const [first, second, third] = numbers;
  assert.deepEqual([second === first, third === first], [false, true]);
});

test('an address that is a member and stands in a rule of its own is both', () => {
  const policy = new Compiler().compile({
    groups: {
      db: { ingress: ['tcp 5432 from sg:clients', `tcp 22 from ${address(0)}/32`] },
      clients: {},
    },
    interfaces: {
      db: { addresses: ['10.0.0.1'], groups: ['db'] },
      c0: { addresses: [address(0)], groups: ['clients'] },
    },
  });
  const [word] = mustAddress(address(0)).words;
  const matcher = new Matcher(policy);
  for (const port of [22, 5432])
    assert.notEqual(
      matcher.match(2 * policy.profiles[1], 4, 6, port, word, 0, 0, 0),
      NO_RULE,
      `port ${port}`,
    );
});

/** What a policy says, in a form that does not depend on how its tables came about. */
function contentOf(policy: CompiledPolicy): unknown {
  const entries = (table: WordTable): [string, number][] => {
    const found: [string, number][] = [];
    const slotWords = table.keyWords + 1;
    for (let at = 0; at < table.slots.length; at += slotWords) {
      const value = table.slots[at + table.keyWords];
      if (value !== 0) found.push([table.slots.slice(at, at + table.keyWords).join(), value]);
    }
    return found.sort();
  };
  return {
    profiles: policy.profiles,
    sourceDestCheck: policy.sourceDestCheck,
    lengths: [policy.prefixes4.lengths, policy.prefixes6.lengths],
    masks: [policy.prefixes4.masks, policy.prefixes6.masks],
    prefixes: [policy.prefixes4, policy.prefixes6].map(({ table }) =>
      entries(table).map(([key]) => key),
    ),
    hosts: [entries(policy.hosts4), entries(policy.hosts6)],
    ruleCount: entries(policy.rules).length,
  };
}

test('a policy that went through many changes is what one made at once is', () => {
  const peers = fc.constantFrom(
    'sg:a',
    'sg:b',
    'pl:p',
    '10.0.0.0/8',
    '10.0.1.0/24',
    '10.0.0.1/32',
    '0.0.0.0/0',
    '::/0',
    'fd00::/8',
  );
  const rule = fc
    .tuple(
      fc.constantFrom('tcp', 'udp', 'all'),
      fc.constantFrom('80', '80-90', '0-65535', '443'),
      peers,
    )
    .map(([protocol, ports, peer]) =>
      protocol === 'all' ? `all from ${peer}` : `${protocol} ${ports} from ${peer}`,
    );
  const rules = fc.uniqueArray(rule, { maxLength: 6 });
  const groups = fc.constantFrom(['a'], ['b'], ['a', 'b'], ['c']);
  const addresses = fc.constantFrom(
    ['10.0.0.1'],
    ['10.0.0.2', 'fd00::2'],
    ['10.0.1.3'],
    ['fd00::4'],
  );
  const network = fc.record({ addresses, groups, sourceDestCheck: fc.boolean() });
  const text: fc.Arbitrary<ModelText> = fc.record({
    groups: fc.record({
      a: fc.record({ ingress: rules }),
      b: fc.record({ ingress: rules }),
      c: fc.record({ ingress: rules }),
    }),
    prefixLists: fc.record({
      p: fc.uniqueArray(fc.constantFrom('10.0.0.0/8', '10.2.0.0/16', '10.0.0.1/32'), {
        minLength: 1,
        maxLength: 3,
      }),
    }),
    interfaces: fc
      .uniqueArray(fc.constantFrom('u', 'v', 'w', 'x', 'y'), { minLength: 1 })
      .chain((names) =>
        fc
          .tuple(...names.map(() => network))
          .map((networks) => Object.fromEntries(names.map((name, i) => [name, networks[i]]))),
      ),
    remote: fc.dictionary(fc.constantFrom('r', 's', 't'), fc.record({ addresses, groups }), {
      noNullPrototype: true,
    }),
  });
  const probes = [
    '10.0.0.1',
    '10.0.0.2',
    '10.0.1.3',
    '10.2.0.1',
    '11.0.0.1',
    'fd00::2',
    'fd00::4',
    '2001:db8::1',
  ].map(mustAddress);
  fc.assert(
    fc.property(fc.array(text, { minLength: 2, maxLength: 6, size: 'max' }), (texts) => {
      const changing = new Compiler();
      const kept: [CompiledPolicy, unknown][] = [];
      for (const written of texts) {
        const policy = changing.compile(written);
        const anew = new Compiler();
        const fresh = anew.compile(written);
        // A profile that was known before may have another number: what its gates say is compared instead.
        assert.deepEqual(
          { ...(contentOf(policy) as object), profiles: 0, ruleCount: 0 },
          { ...(contentOf(fresh) as object), profiles: 0, ruleCount: 0 },
        );
        const [matcher, twin] = [new Matcher(policy), new Matcher(fresh)];
        const rules = [...model(written).groups.values()].flatMap(({ ingress }) => ingress);
        for (let port = 1; port < fresh.profiles.length; port++) {
          for (const { family, words } of probes) {
            for (const [protocol, at] of [
              [6, 80],
              [6, 85],
              [17, 443],
              [47, 0],
            ] as const) {
              const [a0, a1 = 0, a2 = 0, a3 = 0] = words;
              const admits = (one: Matcher, { profiles }: CompiledPolicy): boolean =>
                one.match(2 * profiles[port], family, protocol, at, a0, a1, a2, a3) !== NO_RULE;
              assert.equal(admits(matcher, policy), admits(twin, fresh));
              for (const rule of rules) {
                const isBy = (one: Matcher, { profiles }: CompiledPolicy, by: Compiler): boolean =>
                  one.admits(by.ruleNumbers.numberOf(rule) + 1, 2 * profiles[port], family, protocol, at, a0, a1, a2, a3); // prettier-ignore
                assert.equal(isBy(matcher, policy, changing), isBy(twin, fresh, anew), rule.id);
              }
              assert.equal(
                matcher.isUntracked(port, family, protocol, at, 5000),
                twin.isUntracked(port, family, protocol, at, 5000),
              );
            }
          }
        }
        kept.push([policy, contentOf(policy)]);
      }
      for (const [policy, content] of kept)
        assert.deepEqual(contentOf(policy), content, 'what was handed out stays as it was');
    }),
    { numRuns: 150 },
  );
});

test('a table answers for words as for a key that has them', () => {
  const word = fc.oneof(fc.integer({ min: -3, max: 3 }), fc.integer());
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 3 }),
      fc.array(fc.tuple(word, word, word, fc.boolean()), { maxLength: 60 }),
      (keyWords, steps) => {
        const table = new WordTable(keyWords);
        const twin = new Map<string, number>();
        const ask = (a: number, b: number, c: number): number =>
          keyWords === 1 ? table.get1(a) : keyWords === 2 ? table.get2(a, b, hash2(a, b)) : table.get3(a, b, c); // prettier-ignore
        steps.forEach(([a, b, c, isDeleted], i) => {
          const key = Int32Array.of(a, b, c).subarray(0, keyWords);
          if (isDeleted) assert.equal(table.delete(key), twin.delete(key.join()));
          else {
            table.set(key, i + 1);
            twin.set(key.join(), i + 1);
          }
        });
        for (const [a, b, c] of steps) {
          const key = Int32Array.of(a, b, c).subarray(0, keyWords);
          assert.equal(ask(a, b, c), twin.get(key.join()) ?? 0);
          assert.equal(table.get(key), twin.get(key.join()) ?? 0);
        }
      },
    ),
    { numRuns: 500 },
  );
});
