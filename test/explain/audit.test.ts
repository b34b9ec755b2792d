/** What is explained where audit lets pass what the rules refuse: the rules' answer, and what passes now. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explain } from '../../src/explain/explain.ts';
import { model, specialAddresses, type ModelText } from '../support/policy.ts';

function ask(text: ModelText): { verdict: string; notes: readonly string[] } {
  const network = { model: model(text), special: specialAddresses([]), hasUplink: true };
  const { verdict, answers } = explain(network, {
    from: { kind: 'interface', interfaceId: 'eni-web' },
    to: { kind: 'interface', interfaceId: 'eni-db' },
    service: { kind: 'ports', protocol: 6, port: 5432 },
  });
  return { verdict, notes: answers.flatMap(({ notes }) => notes) };
}

function text(
  db: ModelText['groups'][string],
  more: { readonly egress?: readonly string[]; readonly audit?: boolean } = {},
): ModelText {
  return {
    groups: {
      web: { ingress: [], ...(more.egress === undefined ? {} : { egress: more.egress }) },
      db,
    },
    interfaces: {
      web: { addresses: ['10.0.0.11'], groups: ['web'] },
      db: { addresses: ['10.0.0.12'], groups: ['db'], audit: more.audit ?? false },
    },
  };
}

const END = 'enforced, it would be dropped as said';

test('the verdict is that of the rules, and a note says by what it passes', () => {
  const cases: readonly (readonly [ModelText, string])[] = [
    [
      text({ ingress: [], audited: ['tcp 5432 from sg:web'] }),
      'a rule of sg:db that only audits: tcp 5432 from sg:web',
    ],
    [text({ ingress: [], audit: true }), 'sg:db, which is in audit mode'],
    [text({ ingress: [] }, { audit: true }), 'db, which is in audit mode'],
  ];
  for (const [written, by] of cases)
    assert.deepEqual(ask(written), {
      verdict: 'refused',
      notes: [`passes only by audit, and is counted: by ${by}; ${END}`],
    });
});

test('where only one of two gates audits, it does not pass', () => {
  const { verdict, notes } = ask(text({ ingress: [], audit: true }, { egress: [] }));
  assert.equal(verdict, 'refused');
  assert.deepEqual(notes, [
    'audit would let it pass one gate, by sg:db, which is in audit mode, but not the other',
  ]);
});

test('where a rule admits, nothing is said of audit', () => {
  const { verdict, notes } = ask(text({ ingress: ['tcp 5432 from sg:web'], audit: true }));
  assert.deepEqual([verdict, notes], ['allowed', []]);
});
