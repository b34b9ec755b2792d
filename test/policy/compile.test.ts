/** What is compiled again when something changes, and what is not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compilePolicy } from '../../src/policy/compile.ts';
import type { CompiledPolicy } from '../../src/policy/compiled.ts';
import { RuleCache } from '../../src/policy/gate-tables.ts';
import { Matcher, NO_RULE } from '../../src/policy/match.ts';
import { RuleNumbers } from '../../src/policy/rule-numbers.ts';
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
  readonly cache = new RuleCache();
  private readonly ruleNumbers = new RuleNumbers();
  private generation = 0;

  compile(text: ModelText): CompiledPolicy {
    const built = model(text);
    const ports = new Map([...built.interfaces.keys()].map((id, i) => [id, i + 1]));
    this.generation++;
    const { ruleNumbers, cache, generation } = this;
    return compilePolicy({
      model: built,
      ports,
      ruleNumbers,
      ruleCache: cache,
      platformAddresses: [],
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
  assert.equal(compiler.cache.compilations, 1);
  assert.equal(fewer.rules, before.rules, 'the very same table');
});

test('a rule that changes, or a new set of groups on an interface, is compiled', () => {
  const compiler = new Compiler();
  compiler.compile(manyMembers(2));
  const changed = compiler.compile(manyMembers(2, ['tcp 5433 from sg:clients']));
  assert.equal(compiler.cache.compilations, 2);
  assert.equal(admits(changed, address(0)), false);
  const text = manyMembers(2);
  const both = {
    ...text,
    interfaces: { ...text.interfaces, db: { addresses: ['10.0.0.1'], groups: ['db', 'clients'] } },
  };
  assert.equal(admits(compiler.compile(both), '10.0.0.1'), true, 'it is a member now');
  assert.equal(compiler.cache.compilations, 3);
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
