/**
 * The CNI plugin, called as a runtime calls it, with a daemon and an IPAM plugin that remember what they were asked.
 */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { describe, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { call, type CallResult } from '../../src/doors/cni/call.ts';
import { INPUT_BYTES_MAX } from '../../src/doors/json-input.ts';
import { interfaceId } from '../../src/doors/names.ts';
import { attachmentId } from '../../src/policy/ids.ts';
import { mustRun } from '../support/process.ts';
import { ENI, ENI_ADDRESSES, fakeDaemon, type FakeDaemon } from './fake-daemon.ts';

const PROGRAM = fileURLToPath(new URL('../../src/doors/cni/secgroupd-cni.js', import.meta.url));
const ID = interfaceId('cni', 'vpc', 'c1', 'eth0');
const LEASE = {
  ips: [{ address: '10.77.0.5/24', gateway: '10.77.0.1' }, { address: 'fd00:77::5/64' }],
  dns: { nameservers: ['10.77.0.2'] },
};
const LATE = { code: 11, msg: 'no address is left', details: '10.77.0.0/24' };

const ETH0 = { name: 'eth0', sandbox: '/run/netns/c1' };
const BEHIND = { ipam: undefined, prevResult: {} };

/** The configuration behind a plugin that made these interfaces, the last of them with an address. */
function behind(...interfaces: readonly object[]): object {
  const ips = [{ address: '10.77.0.5/24', interface: interfaces.length - 1 }];
  return { ...BEHIND, prevResult: { interfaces, ips } };
}

interface World {
  readonly daemon: FakeDaemon;
  /** What the IPAM plugin was called with. */
  readonly leased: () => readonly string[];
  /** What it answers to ADD from now on. */
  readonly lease: (answer: object, code?: number) => void;
  readonly ask: (
    verb: string,
    more?: object,
    env?: Readonly<Record<string, string>>,
  ) => Promise<CallResult>;
}

async function makeWorld(t: TestContext): Promise<World> {
  const daemon = await fakeDaemon(t);
  const folder = mkdtempSync(join(tmpdir(), 'sgt-cni-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const [log, answer, code] = ['log', 'answer', 'code'].map((name) => join(folder, name));
  const script = `#!/bin/sh
cat > ${folder}/stdin
echo "$CNI_COMMAND $CNI_CONTAINERID" >> ${log}
[ "$CNI_COMMAND" = ADD ] || exit 0
cat ${answer}
exit $(cat ${code})
`;
  writeFileSync(join(folder, 'lender'), script);
  chmodSync(join(folder, 'lender'), 0o755);
  const lease = (value: object, status = 0) => {
    writeFileSync(answer, JSON.stringify(value));
    writeFileSync(code, String(status));
  };
  lease(LEASE);
  return {
    daemon,
    leased: () => (existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : []),
    lease,
    ask: (verb, more = {}, env = {}) => {
      const { socket } = daemon;
      const base = { cniVersion: '1.1.0', name: 'vpc', type: 'secgroupd', socket };
      const config = { ...base, ipam: { type: 'lender' }, securityGroups: ['web'], ...more };
      const attachment = { CNI_CONTAINERID: 'c1', CNI_IFNAME: 'eth0', CNI_NETNS: '/run/netns/c1' };
      const path = `/nowhere:${folder}`;
      const all = { ...process.env, CNI_COMMAND: verb, CNI_PATH: path, ...attachment, ...env };
      return call(all, Readable.from([Buffer.from(JSON.stringify(config))]));
    },
  };
}

/** The code and the words of a failure. */
function failureOf({ code, answer }: CallResult): readonly [unknown, string] {
  assert.equal(code, 1);
  return [answer!['code'], String(answer!['msg'])];
}

describe('ADD', () => {
  const old = (version: string) => (version.startsWith('0.') ? ['4', '6'] : [undefined, undefined]);
  for (const version of ['0.3.1', '0.4.0', '1.0.0', '1.1.0'])
    test(`answers in version ${version}`, async (t) => {
      const { ask, daemon, leased } = await makeWorld(t);
      const { code, answer } = await ask('ADD', { cniVersion: version, mtu: 1400 });
      const [four, six] = old(version);
      assert.deepEqual(JSON.parse(JSON.stringify([code, answer])), [
        0,
        {
          cniVersion: version,
          interfaces: [
            {
              name: 'eth0',
              mac: daemon.there.get(ID)!.macAddress,
              ...(version === '1.1.0' ? { mtu: 1400 } : {}),
              sandbox: '/run/netns/c1',
            },
          ],
          ips: [
            {
              ...(four === undefined ? {} : { version: four }),
              address: '10.77.0.5/32',
              interface: 0,
            },
            {
              ...(six === undefined ? {} : { version: six }),
              address: 'fd00:77::5/128',
              interface: 0,
            },
          ],
          routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
          dns: LEASE.dns,
        },
      ]);
      assert.deepEqual(leased(), ['ADD c1']);
      const { owner, device, tags } = daemon.there.get(ID)!;
      assert.deepEqual([owner, tags], ['cni.vpc', { Name: 'c1' }]);
      assert.deepEqual(device, {
        ...{ kind: 'tun', name: 'eth0', netns: '/run/netns/c1', mtu: 1400 },
        ...{ configure: true, persist: true },
      });
    });

  test('asks for a device of the kind that the network has', async (t) => {
    const { ask, daemon } = await makeWorld(t);
    assert.equal((await ask('ADD', { kind: 'veth' })).code, 0);
    assert.equal(daemon.there.get(ID)!.device.kind, 'veth');
  });

  test('takes the groups nearest to the container', async (t) => {
    const { ask, daemon } = await makeWorld(t);
    const groups = async (id: string, more: object, args: string) => {
      const env = { CNI_CONTAINERID: id, CNI_ARGS: args };
      assert.equal((await ask('ADD', more, env)).code, 0);
      const { securityGroups, tags } = daemon.there.get(interfaceId('cni', 'vpc', id, 'eth0'))!;
      return [tags['Name'], ...securityGroups.map(({ name }) => name)];
    };
    const near = { args: { cni: { securityGroups: ['app'] } } };
    assert.deepEqual(await groups('a', {}, ''), ['a', 'web']);
    assert.deepEqual(await groups('b', near, 'IgnoreUnknown=1;K8S_POD_NAME=shop'), ['shop', 'app']);
    assert.deepEqual(await groups('c', near, 'SG=db, sg-0123456789abcdef0'), [
      'c',
      'db',
      'sg-0123456789abcdef0',
    ]);
  });

  test('gives the address back when the daemon refuses', async (t) => {
    const { ask, daemon, leased } = await makeWorld(t);
    daemon.refusal = "The security group 'wbe' does not exist";
    assert.deepEqual(failureOf(await ask('ADD')), [100, `secgroupd: ${daemon.refusal}`]);
    assert.deepEqual(leased(), ['ADD c1', 'DEL c1']);
    assert.equal(daemon.there.size, 0);
  });

  test('says what the IPAM plugin says, and asks the daemon for nothing then', async (t) => {
    const { ask, daemon, lease } = await makeWorld(t);
    lease(LATE, 1);
    const msg = 'secgroupd: lender: no address is left: 10.77.0.0/24';
    assert.deepEqual(failureOf(await ask('ADD')), [11, msg]);
    assert.deepEqual(daemon.asked, []);
  });

  test('takes no address while no daemon is there: code 11', async (t) => {
    const { ask, daemon, leased } = await makeWorld(t);
    await daemon.stop();
    const [code, msg] = failureOf(await ask('ADD'));
    assert.equal(code, 11);
    assert.match(msg, /no daemon listens at/);
    assert.deepEqual(leased(), []);
  });

  test('twice is an error, and leaves the first as it is', async (t) => {
    const { ask, daemon, leased } = await makeWorld(t);
    await ask('ADD');
    const msg = `secgroupd: this interface of the container is there already, as ${ID}`;
    assert.deepEqual(failureOf(await ask('ADD')), [7, msg]);
    assert.deepEqual([leased(), daemon.there.size], [['ADD c1'], 1]);
  });

  test('in another namespace removes what a DEL without a daemon left', async (t) => {
    const { ask, daemon, leased } = await makeWorld(t);
    await ask('ADD');
    assert.equal((await ask('ADD', {}, { CNI_NETNS: '/run/netns/c1-again' })).code, 0);
    assert.equal(daemon.there.get(ID)!.device.netns, '/run/netns/c1-again');
    assert.deepEqual(leased(), ['ADD c1', 'DEL c1', 'ADD c1']);
  });

  test('while a hundred others ask', async (t) => {
    const { ask, daemon } = await makeWorld(t);
    const all = await Promise.all(
      Array.from({ length: 100 }, (_, n) => ask('ADD', {}, { CNI_CONTAINERID: `c${n}` })),
    );
    assert.deepEqual(
      all.filter(({ code }) => code !== 0),
      [],
    );
    assert.equal(daemon.there.size, 100);
  });
});

describe('an interface that a call of the EC2 API made', () => {
  const ways: readonly (readonly [string, object, Readonly<Record<string, string>>])[] = [
    ['CNI_ARGS', {}, { CNI_ARGS: `IgnoreUnknown=1;ENI=${ENI}` }],
    ['args.cni', { args: { cni: { eni: ENI } } }, {}],
    ['args.cni, and a network without IPAM', { args: { cni: { eni: ENI } }, ipam: undefined }, {}],
  ];
  for (const [name, more, env] of ways)
    test(`is attached, and no address is taken or given back: ${name}`, async (t) => {
      const { ask, daemon, leased } = await makeWorld(t);
      const { code, answer } = await ask('ADD', more, env);
      assert.equal(code, 0);
      const ips = (answer!['ips'] as readonly { readonly address: string }[]).map(
        ({ address }) => address.split('/')[0],
      );
      assert.deepEqual(ips, ENI_ADDRESSES);
      assert.deepEqual(
        (answer!['interfaces'] as readonly { readonly mac: string }[])[0].mac,
        daemon.there.get(ENI)!.macAddress,
      );
      const attachment = attachmentId(ID);
      assert.deepEqual(daemon.asked, [`attach ${ENI} ${attachment}`]);
      const again = `secgroupd: this interface of the container is there already, as ${ENI}`;
      assert.deepEqual(failureOf(await ask('ADD', more, env)), [7, again]);
      assert.equal((await ask('CHECK', { ...more, prevResult: answer }, env)).code, 0);
      // A runtime may call DEL without what it called ADD with.
      for (let times = 0; times < 2; times++)
        assert.equal((await ask('DEL', { ipam: undefined }, {})).code, 0);
      assert.equal(daemon.there.size, 0);
      assert.deepEqual(leased(), []);
    });

  test('is kept by GC as long as its container is there', async (t) => {
    const { ask, daemon } = await makeWorld(t);
    await ask('ADD', { args: { cni: { eni: ENI } } });
    const collect = async (...valid: readonly object[]) =>
      (await ask('GC', { 'cni.dev/valid-attachments': valid })).code;
    assert.equal(await collect({ containerID: 'c1', ifname: 'eth0' }), 0);
    assert.deepEqual([...daemon.there.keys()], [ENI]);
    assert.equal(await collect(), 0);
    assert.equal(daemon.there.size, 0);
  });

  test('is detached again if the container has got another namespace', async (t) => {
    const { ask, daemon } = await makeWorld(t);
    const more = { args: { cni: { eni: ENI } } };
    await ask('ADD', more);
    assert.equal((await ask('ADD', more, { CNI_NETNS: '/run/netns/c1-again' })).code, 0);
    assert.equal(daemon.there.get(ENI)!.device.netns, '/run/netns/c1-again');
  });
});

describe('what is refused', () => {
  const cases: readonly (readonly [
    string,
    number,
    RegExp,
    object,
    Readonly<Record<string, string>>,
  ])[] = [
    ['a version', 1, /cniVersion 0\.2\.0 is none of/, { cniVersion: '0.2.0' }, {}],
    ['a version that is missing', 1, /cniVersion 0\.1\.0/, { cniVersion: undefined }, {}],
    ['an unknown key', 2, /ipMasq is no key of secgroupd/, { ipMasq: true }, {}],
    [
      'published ports',
      2,
      /portMappings is not for secgroupd: give this capability to the portmap plugin/,
      { runtimeConfig: { portMappings: [{ hostPort: 80 }] } },
      {},
    ],
    ['a MAC address', 2, /the capability mac/, { runtimeConfig: { mac: '02:00:00:00:00:01' } }, {}],
    ['no container', 4, /CNI_CONTAINERID/, {}, { CNI_CONTAINERID: '' }],
    ['a container like a path', 4, /CNI_CONTAINERID/, {}, { CNI_CONTAINERID: '../x' }],
    ['a long interface', 4, /CNI_IFNAME/, {}, { CNI_IFNAME: 'eth0123456789abc' }],
    ['no namespace', 4, /CNI_NETNS/, {}, { CNI_NETNS: '' }],
    ['arguments that are none', 4, /CNI_ARGS is KEY=VALUE/, {}, { CNI_ARGS: 'SG' }],
    ['an argument twice', 4, /CNI_ARGS has SG twice/, {}, { CNI_ARGS: 'SG=a;SG=b' }],
    ['an unknown argument', 4, /CNI_ARGS has SGS/, {}, { CNI_ARGS: 'SGS=a' }],
    ['no group', 7, /no security group is named/, { securityGroups: [] }, {}],
    ['an empty group', 7, /has an empty name/, {}, { CNI_ARGS: 'SG=web,' }],
    ['groups that are none', 7, /securityGroups is a list of texts/, { securityGroups: 'web' }, {}],
    ['an interface that is not there', 100, /does not exist/, {}, { CNI_ARGS: `ENI=${ID}` }],
    ['an interface by its name', 7, /eni=web is no id/, {}, { CNI_ARGS: 'ENI=web' }],
    ['both', 7, /sg and eni are both given/, {}, { CNI_ARGS: `ENI=${ENI};SG=web` }],
    [
      'both in args.cni',
      7,
      /args\.cni has securityGroups and eni/,
      { args: { cni: { eni: ENI, securityGroups: ['web'] } } },
      {},
    ],
    ['an interface that is no text', 7, /eni is a text/, { args: { cni: { eni: 7 } } }, {}],
    ['an address of its own behind a plugin', 7, /ipam and prevResult are/, { prevResult: {} }, {}],
    ['a kind behind a plugin', 7, /kind and prevResult/, { ...BEHIND, kind: 'tap' }, {}],
    [
      'a kind that nobody makes',
      7,
      /kind is one of tun, tap, veth, and not attach/,
      { kind: 'attach' },
      {},
    ],
    ['a plugin that gave no address', 7, /no address of eth0$/, BEHIND, {}],
    [
      "another interface's address",
      7,
      /no address of eth0$/,
      behind({ ...ETH0, name: 'eth1' }),
      {},
    ],
    ['a namespace that is not there', 5, /^secgroupd: nsenter: .*c1/, behind(ETH0), {}],
    ['no IPAM', 7, /ipam is missing/, { ipam: {} }, {}],
    ['an IPAM that is not there', 7, /none is not in CNI_PATH/, { ipam: { type: 'none' } }, {}],
    ['an IPAM by its path', 7, /ipam\.type is the name/, { ipam: { type: '../lender' } }, {}],
    ['a name with blanks', 7, /name is letters/, { name: 'my net' }, {}],
    ['a relative socket', 7, /socket is an absolute path/, { socket: 'x.sock' }, {}],
  ];
  for (const [name, code, words, more, env] of cases)
    test(`at ADD: ${name}`, async (t) => {
      const { ask, daemon } = await makeWorld(t);
      const [seen, msg] = failureOf(await ask('ADD', more, env));
      assert.match(msg, words);
      assert.equal(seen, code);
      assert.deepEqual([...daemon.there.keys()], []);
    });

  test('an input that is too long, is no JSON, or no object, and an unknown call', async () => {
    const env = { CNI_COMMAND: 'ADD' };
    const send = (text: string | Buffer, verb = env) =>
      call(verb, Readable.from([Buffer.from(text)]));
    assert.deepEqual(failureOf(await send(Buffer.alloc(INPUT_BYTES_MAX + 1, '['))), [
      5,
      'secgroupd: the input has more than 1048576 bytes',
    ]);
    assert.deepEqual(failureOf(await send('{')), [6, 'secgroupd: the input is not JSON']);
    assert.deepEqual(failureOf(await send('[]')), [6, 'secgroupd: the input is no JSON object']);
    assert.equal(failureOf(await send('{}', { CNI_COMMAND: 'HOP' }))[0], 4);
  });
});

describe('DEL', () => {
  test('removes the interface before its address, twice, and without a namespace', async (t) => {
    const { ask, daemon, leased } = await makeWorld(t);
    await ask('ADD');
    const prevResult = { ips: [] };
    const gone = { CNI_NETNS: '' };
    for (const env of [{}, gone])
      assert.deepEqual(await ask('DEL', { prevResult, ipMasq: true }, env), {
        code: 0,
        answer: undefined,
      });
    assert.equal(daemon.there.size, 0);
    assert.deepEqual(leased(), ['ADD c1', 'DEL c1', 'DEL c1']);
  });

  test('keeps the address while no daemon is there', async (t) => {
    const { ask, daemon, leased } = await makeWorld(t);
    await ask('ADD');
    await daemon.stop();
    assert.equal(failureOf(await ask('DEL'))[0], 11);
    assert.deepEqual(leased(), ['ADD c1']);
  });
});

describe('CHECK', () => {
  test('holds what is there against the result of ADD', async (t) => {
    const { ask, daemon, leased } = await makeWorld(t);
    const prevResult = (await ask('ADD')).answer!;
    const words = async (more: object = { prevResult }, env = {}) =>
      failureOf(await ask('CHECK', more, env));
    assert.deepEqual(await ask('CHECK', { prevResult }), { code: 0, answer: undefined });
    assert.deepEqual(leased(), ['ADD c1', 'CHECK c1']);
    assert.match((await words({}))[1], /prevResult is missing/);
    assert.match(
      (await words({ prevResult: { ips: [{ address: '10.77.0.6/32' }] } }))[1],
      /does not have 10\.77\.0\.6$/,
    );
    assert.match((await words({ prevResult }, { CNI_NETNS: '/run/netns/x' }))[1], /not in .*\/x$/);
    daemon.views = [{ id: ID, waiting: 'the device is gone' }];
    assert.deepEqual(await words(), [100, `secgroupd: ${ID} is cut off: the device is gone`]);
    daemon.views = [{ id: ID, device: 'eth7', configured: { device: 'eth0' } }];
    assert.match((await words())[1], /is eth7 in no namespace by now$/);
    daemon.views = [];
    daemon.there.set(ID, { ...daemon.there.get(ID)!, notInForce: 'no such group' });
    assert.match((await words())[1], /is not in force: no such group$/);
    daemon.there.clear();
    assert.equal((await words())[0], 3);
  });
});

describe('GC', () => {
  test('removes what the runtime no longer has, of this network alone', async (t) => {
    const { ask, daemon, leased } = await makeWorld(t);
    for (const id of ['c1', 'c2', 'c3']) await ask('ADD', {}, { CNI_CONTAINERID: id });
    await ask('ADD', { name: 'other' });
    const valid = [{ containerID: 'c2', ifname: 'eth0' }];
    const { code } = await ask(
      'GC',
      { 'cni.dev/valid-attachments': valid },
      { CNI_CONTAINERID: '' },
    );
    assert.equal(code, 0);
    assert.deepEqual(
      [...daemon.there.keys()],
      [interfaceId('cni', 'vpc', 'c2', 'eth0'), interfaceId('cni', 'other', 'c1', 'eth0')],
    );
    assert.equal(leased().at(-1), 'GC');
  });

  test('removes nothing where nothing is said, or what is said is not understood', async (t) => {
    const { ask, daemon } = await makeWorld(t);
    await ask('ADD');
    assert.equal(failureOf(await ask('GC'))[0], 7);
    assert.equal(failureOf(await ask('GC', { 'cni.dev/valid-attachments': ['c1'] }))[0], 7);
    assert.equal(daemon.there.size, 1);
  });
});

describe('STATUS', () => {
  test('is 50 while no daemon is there', async (t) => {
    const { ask, daemon } = await makeWorld(t);
    assert.deepEqual(await ask('STATUS'), { code: 0, answer: undefined });
    await daemon.stop();
    assert.equal(failureOf(await ask('STATUS'))[0], 50);
  });
});

describe('the program', () => {
  test('says its versions, without input', async () => {
    const env = { ...process.env, CNI_COMMAND: 'VERSION' };
    assert.deepEqual(JSON.parse(await mustRun(process.execPath, [PROGRAM], { env })), {
      cniVersion: '1.1.0',
      supportedVersions: ['0.3.1', '0.4.0', '1.0.0', '1.1.0'],
    });
  });
});
