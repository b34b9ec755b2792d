/** Which interface a match is, held against a regular expression and against every short name there is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { findOnly } from '../../src/ports/find-link.ts';
import {
  canBothFit,
  fitsMatch,
  isPattern,
  matchLabel,
  type Link,
  type LinkMatch,
} from '../../src/ports/link-match.ts';
import type { ListedLink } from '../../src/ports/native.ts';

const RUNS = 2000;
/** Two patterns of at most this length meet in a name of at most twice that, if at all. */
const PATTERN_LENGTH = 3;
const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '*', '?'), maxLength: PATTERN_LENGTH });
const text = fc.constantFrom('x', 'y');
const match = fc.record({ name: pattern, alias: text, hostMac: text }, { requiredKeys: [] });

function namesUpTo(length: number): string[] {
  if (length === 0) return [''];
  const shorter = namesUpTo(length - 1);
  const longest = shorter.filter((name) => name.length === length - 1);
  return [...shorter, ...longest.flatMap((name) => [`${name}a`, `${name}b`])];
}

const NAMES = namesUpTo(2 * PATTERN_LENGTH);
const LINKS: readonly Link[] = NAMES.flatMap((name) =>
  ['', 'x', 'y'].flatMap((alias) =>
    ['', 'x', 'y'].map((mac) => ({ ifindex: 1, name, alias, mac })),
  ),
);

/** The plain twin. */
function fitsPlainly({ name = '*', alias, hostMac }: LinkMatch, link: Link): boolean {
  const source = [...name].map((one) => (one === '*' ? '.*' : one === '?' ? '.' : one)).join('');
  return (
    new RegExp(`^${source}$`).test(link.name) &&
    [undefined, link.alias].includes(alias) &&
    [undefined, link.mac].includes(hostMac)
  );
}

test('an interface fits as a regular expression says', () => {
  fc.assert(
    fc.property(match, fc.constantFrom(...LINKS), (one, link) => {
      assert.equal(fitsMatch(one, link), fitsPlainly(one, link));
    }),
    { numRuns: RUNS },
  );
});

test('the host’s end of a pair that we made fits nothing', () => {
  const link = { ifindex: 1, name: 'sgv1', alias: 'secgroupd 1f0c92d6 web', mac: '' };
  assert.equal(fitsMatch({ name: 'sgv*' }, link), false);
  assert.equal(fitsMatch({ name: 'sgv*' }, { ...link, alias: 'secgroupd' }), true);
});

test('two matches can be one interface if, and only if, there is such an interface', () => {
  fc.assert(
    fc.property(match, match, (a, b) => {
      const isThere = LINKS.some((link) => fitsPlainly(a, link) && fitsPlainly(b, link));
      assert.equal(canBothFit(a, b), isThere);
      assert.equal(canBothFit(b, a), isThere);
    }),
    { numRuns: RUNS },
  );
});

test('characters of regular expressions are characters', () => {
  const link = { ifindex: 1, name: 'v.t+1', alias: '', mac: '' };
  assert.equal(fitsMatch({ name: 'v.t+?' }, link), true);
  assert.equal(fitsMatch({ name: 'v?t1' }, link), false);
  assert.deepEqual(['v.t+1', 'v*', 'v?'].map(isPattern), [false, true, true]);
});

test('a label has all that is asked for', () => {
  const whole = { name: 'vnet*', alias: 'web 1', hostMac: 'fe:54:00:00:00:11' };
  assert.equal(matchLabel(whole), 'vnet* alias web 1 hostMac fe:54:00:00:00:11');
  assert.equal(matchLabel({ alias: 'web-1' }), 'alias web-1');
});

/** What a match does not look at. */
const PLAIN = { kind: '', flags: 0, type: 1, link: 0, linkNetnsId: -1 };

test('the only one that fits is found; of several none is', () => {
  const named = (...names: readonly string[]): ListedLink[] =>
    names.map((name, i) => ({ ifindex: i + 1, name, alias: '', mac: '', ...PLAIN }));
  const find = (...names: readonly string[]): Link =>
    findOnly({ listLinks: () => named(...names) }, { name: 'vnet*' }, undefined);
  assert.equal(find('lo', 'vnet3', 'eth0').ifindex, 2);
  assert.throws(() => find('lo'), {
    code: 'ENODEV',
    message: "no interface is 'vnet*'; it is attached once one is there",
  });
  assert.throws(() => find('vnet1', 'vnet2'), {
    code: 'ENOTUNIQ',
    message: /^2 interfaces are 'vnet\*', vnet1 and vnet2: nothing passes by any of them until/,
  });
  assert.throws(() => find('vnet1', 'vnet2', 'vnet3', 'vnet4', 'vnet5'), {
    message: /^5 interfaces are 'vnet\*', vnet1, vnet2, vnet3 and 2 more: nothing/,
  });
});
