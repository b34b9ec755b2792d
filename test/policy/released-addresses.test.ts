/** Which flows are with an address that was released: by table, and beside a plain twin. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cidrContains, parseAddress, parseCidr, type Address } from '../../src/addr/address.ts';
import type { NetworkInterface, PolicyModel, Vpc } from '../../src/policy/model.ts';
import { ReleasedAddresses } from '../../src/policy/released-addresses.ts';
import { ONLY_VPC_ID } from '../../src/policy/vpcs.ts';

function addressOf(text: string): Address {
  const parsed = parseAddress(text);
  assert.ok(parsed.ok, text);
  return parsed.value;
}

/** @param vpcs their blocks, by their ids; an interface `eni-VPC` is in each. `eni-none` names none */
function modelOf(vpcs: Readonly<Record<string, readonly string[]>>): PolicyModel {
  const blocksOf = (texts: readonly string[]): Vpc['cidrBlocks'] =>
    texts.map((text) => {
      const parsed = parseCidr(text, 'refuse');
      assert.ok(parsed.ok, text);
      return parsed.value;
    });
  const ids = Object.keys(vpcs);
  const interfaces = ids.map((id): [string, object] => [`eni-${id}`, { vpc: { id, name: id } }]);
  return {
    groups: new Map(),
    prefixLists: new Map(),
    interfaces: new Map([...interfaces, ['eni-none', {}]]) as unknown as ReadonlyMap<
      string,
      NetworkInterface
    >,
    vpcs: new Map(
      ids.map((id) => [id, { id, name: id, cidrBlocks: blocksOf(vpcs[id]) } as unknown as Vpc]),
    ),
  };
}

function isReleased(
  released: ReleasedAddresses,
  model: PolicyModel,
  vpcId: string,
  text: string,
): boolean {
  const { family, words } = addressOf(text);
  // Its place in an entry is not the first.
  return released.testFor(model, `eni-${vpcId}`)(family, Int32Array.from([7, 7, ...words]), 2);
}

const TWO = { 'vpc-a': ['10.0.0.0/16', 'fd00:a::/64'], 'vpc-b': ['10.1.0.0/16', '10.0.9.0/24'] };

test('an address counts in its VPC, and wherever another VPC has not got it itself', () => {
  const released = new ReleasedAddresses();
  for (const text of ['10.0.0.5', '10.0.9.5', 'fd00:a::5', '10.255.255.255'])
    released.add('vpc-a', addressOf(text));
  const model = modelOf(TWO);
  for (const [vpcId, text, expected] of [
    ['vpc-a', '10.0.0.5', true],
    ['vpc-a', '10.0.9.5', true],
    ['vpc-a', 'fd00:a::5', true],
    ['vpc-a', '10.255.255.255', true],
    ['vpc-a', '10.0.0.6', false],
    ['vpc-a', '10.1.0.5', false],
    ['vpc-a', 'fd00:b::5', false],
    // By the network: nobody in b has it.
    ['vpc-b', '10.0.0.5', true],
    // Its own.
    ['vpc-b', '10.0.9.5', false],
    // The first VPC is taken for an interface that names none.
    ['none', '10.0.0.5', true],
  ] as const)
    assert.equal(isReleased(released, model, vpcId, text), expected, `${vpcId} ${text}`);
});

test('where nothing is known, whatever an interface may have counts', () => {
  const unknown = new ReleasedAddresses();
  assert.ok(unknown.isEmpty);
  unknown.areUnknown = true;
  assert.ok(!unknown.isEmpty);
  const model = modelOf(TWO);
  assert.ok(isReleased(unknown, model, 'vpc-a', '10.1.2.3'));
  assert.ok(isReleased(unknown, model, 'vpc-b', 'fd00:a::1'));
  assert.ok(!isReleased(unknown, model, 'vpc-a', '8.8.8.8'), 'of no VPC');
  assert.ok(isReleased(unknown, modelOf({ 'vpc-a': [] }), 'vpc-a', '8.8.8.8'), 'blocks unknown');
  const { vpcs: _, ...bare } = model;
  assert.ok(isReleased(unknown, bare, 'none', '8.8.8.8'), 'no VPC is known');
  const one = new ReleasedAddresses();
  one.add(ONLY_VPC_ID, addressOf('8.8.8.8'));
  assert.ok(isReleased(one, bare, 'none', '8.8.8.8'));
});

const text = fc
  .tuple(fc.constantFrom('10.0.0.', '10.0.9.', '10.1.0.', 'fd00:a::', 'fd00:b:1::'), fc.nat(3))
  .map(([prefix, last]) => `${prefix}${last}`);
const vpcId = fc.constantFrom('vpc-a', 'vpc-b');

test('the same as going through all of them', () => {
  const model = modelOf(TWO);
  fc.assert(
    fc.property(
      fc.array(fc.tuple(vpcId, text)),
      vpcId,
      text,
      fc.boolean(),
      (lost, own, asked, areUnknown) => {
        // prettier-ignore
        const released = new ReleasedAddresses();
        for (const [id, one] of lost) released.add(id, addressOf(one));
        released.areUnknown = areUnknown;
        const isIn = (id: string): boolean =>
          model.vpcs!.get(id)!.cidrBlocks.some((block) => cidrContains(block, addressOf(asked)));
        const expected =
          lost.some(([id, one]) => one === asked && (id === own || !isIn(own))) ||
          (areUnknown && ['vpc-a', 'vpc-b'].some(isIn));
        assert.equal(isReleased(released, model, own, asked), expected);
        assert.equal(released.isEmpty, lost.length === 0 && !areUnknown);
      },
    ),
    { numRuns: 2000 },
  );
});
