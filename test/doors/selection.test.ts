/** Which groups an instance is to have: every form that is understood, and that nothing else is. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DoorError, readGroupList, readSelection } from '../../src/doors/selection.ts';
import { hostDeviceName, interfaceId } from '../../src/doors/names.ts';

const ENI = 'eni-0123456789abcdef0';
const read = (options: Readonly<Record<string, string>>) =>
  readSelection(new Map(Object.entries(options)));

function refusal(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof DoorError);
    return error.message;
  }
  return assert.fail('nothing was refused');
}

describe('the groups of an instance', () => {
  test('are names and ids', () => {
    const sg = 'web, sg-0123456789abcdef0,data base';
    const securityGroups = ['web', 'sg-0123456789abcdef0', 'data base'];
    assert.deepEqual(read({ sg }), { kind: 'groups', securityGroups });
    assert.deepEqual(readGroupList(sg), securityGroups);
  });

  test('may be those of an interface made before', () => {
    assert.deepEqual(read({ eni: ENI }), { kind: 'interface', id: ENI });
  });

  for (const [name, options, message] of [
    ['none named', {}, /^no security group is named: write sg=web,db/],
    ['an empty list', { sg: '' }, /^sg= has an empty name/],
    ['a hole in the list', { sg: 'web,,db' }, /^sg=web,,db has an empty name/],
    ['one twice', { sg: 'web,db,web' }, /^sg names the group web twice$/],
    ['a list without end', { sg: 'web,'.repeat(4000) }, /^sg is too long$/],
    ['an interface that is none', { eni: 'eni-xyz' }, /^eni=eni-xyz is no id of an interface/],
    ['an empty interface', { eni: '' }, /^eni= is no id/],
    ['both', { sg: 'web', eni: ENI }, /^sg and eni are both given/],
    ['an unknown key', { sg: 'web', gruop: 'db' }, /^gruop is no option of secgroupd: write sg=/],
    ['a key for a terminal', { 'a\u001b[2J': '' }, /^a\ufffd\[2J is no option/],
  ] as const) {
    test(`are refused: ${name}`, () => {
      assert.match(
        refusal(() => read(options)),
        message,
      );
    });
  }
});

describe('names', () => {
  test('are the same for the same ids, and others for others', () => {
    const id = interfaceId('docker', 'a', 'bc');
    assert.match(id, /^eni-[0-9a-f]{17}$/);
    assert.equal(interfaceId('docker', 'a', 'bc'), id);
    assert.notEqual(interfaceId('docker', 'ab', 'c'), id);
    assert.notEqual(interfaceId('cni', 'a', 'bc'), id);
  });

  test('of devices fit into the kernel', () => {
    const name = hostDeviceName(interfaceId('docker', 'a'));
    assert.match(name, /^sg[0-9a-f]{12}$/);
    assert.notEqual(hostDeviceName(interfaceId('docker', 'b')), name);
  });
});
