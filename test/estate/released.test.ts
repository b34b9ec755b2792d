/**
 * Released addresses. The model check has hosts that acknowledge late, die, leave and are forgotten, while calls give
 * addresses out: none is given out while a host that may run has a picture in which it is its former owner's.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatAddress } from '../../src/addr/address.ts';
import { Edit } from '../../src/estate/edit.ts';
import { EstateClient } from '../../src/estate/estate-client.ts';
import {
  createInterface,
  deleteInterface,
  unassignAddresses,
} from '../../src/estate/interfaces.ts';
import { aliveKey, appliedKey, declaredKey, valueKey } from '../../src/estate/keys.ts';
import { hostsBehind } from '../../src/estate/released.ts';
import { encodeAlive, encodeApplied, ROW_FORMS } from '../../src/estate/rows.ts';
import { Memory, MemoryStore } from '../store/memory-store.ts';
import { makeSubnet, wishFor } from './subnet-world.ts';
import { ALIVE, change, context, makeClients, refusalOf, take } from './world.ts';
import { writeDetached } from './write-interface.ts';

const FIRST = 4;
const HOSTS = ['a', 'b', 'c'];

/** The host `c` fences. */
function acknowledge(edit: Edit, host: string, revision: number): void {
  const fence = host === 'c' ? { fence: 'lease' as const } : {};
  edit.put(appliedKey(host), encodeApplied({ revision, ...fence }));
  edit.put(aliveKey(host), encodeAlive(ALIVE));
}

type Step =
  | { readonly kind: 'release'; readonly which: number }
  | { readonly kind: 'unassign'; readonly which: number }
  | { readonly kind: 'allocate'; readonly place: number | undefined }
  | {
      readonly kind: 'acknowledge' | 'die' | 'leave' | 'forget' | 'start' | 'lapse';
      readonly host: number;
    };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constantFrom('release', 'unassign'), which: fc.nat(20) }),
    fc.record({ kind: fc.constant('allocate'), place: fc.option(fc.nat(2), { nil: undefined }) }),
    fc.record({ kind: fc.constant('acknowledge'), host: fc.nat(HOSTS.length - 1) }),
    fc.record({
      kind: fc.constantFrom('die', 'leave', 'forget', 'start', 'lapse'),
      host: fc.nat(HOSTS.length - 1),
    }),
  ),
  { minLength: 20, maxLength: 60 },
);

/** What chance mostly finds, and must be met for the check to say anything: one is refused, one is spared. */
const SURE: readonly Step[][] = [
  [
    { kind: 'allocate', place: 0 },
    { kind: 'release', which: 0 },
    { kind: 'allocate', place: 0 },
  ],
  [
    { kind: 'allocate', place: 0 },
    { kind: 'lapse', host: 2 },
    { kind: 'release', which: 0 },
    { kind: 'acknowledge', host: 0 },
    { kind: 'acknowledge', host: 1 },
    { kind: 'allocate', place: 0 },
  ],
];

/** A host, as it is: what it has in force, and whether anybody has said that it is gone. */
interface Picture {
  revision: number;
  isRunning: boolean;
  /** Its lease is over, and it fences: it forwards nothing until it knows all. */
  isFenced: boolean;
}

test('no address is given out while a host may take it for its former owner’s', async () => {
  let given = 0;
  let refused = 0;
  let spared = 0;
  await fc.assert(
    fc.asyncProperty(steps, async (all) => {
      const store = new MemoryStore(new Memory());
      const client = await EstateClient.open({
        store,
        onTrouble: (message) => assert.fail(message),
      });
      const subnet = await change(client, (edit) => ({ ok: true, value: makeSubnet(edit) }));
      const { estate } = client;
      const pictures = new Map<string, Picture>();
      /** When each address was taken from an interface last. */
      const released = new Map<string, number>();
      const run = <T>(work: (edit: Edit) => T): Promise<T> =>
        change(client, (edit) => ({ ok: true, value: work(edit) }));
      const start = (host: string): Promise<void> => {
        pictures.set(host, { revision: estate.contentRevision, isRunning: true, isFenced: false });
        return run((edit) => acknowledge(edit, host, estate.contentRevision));
      };
      for (const host of HOSTS) await start(host);
      for (const step of all) {
        if (step.kind === 'release' || step.kind === 'unassign') {
          const there = estate.list('interfaces');
          if (there.length === 0) continue;
          const found = there[step.which % there.length];
          const [first, ...others] = found.addresses.map(formatAddress);
          const gone = step.kind === 'release' ? [first, ...others] : others;
          if (step.kind === 'release')
            await change(client, (edit) => deleteInterface(edit, found.id));
          else if (others.length === 0) continue;
          else await change(client, (edit) => unassignAddresses(edit, found.id, 4, others));
          for (const address of gone) released.set(address, estate.revision);
        } else if (step.kind === 'allocate') {
          const { place } = step;
          const texts = place === undefined ? [] : [`10.20.1.${FIRST + place}`];
          // As the client makes a call, but for its patience.
          const edit = new Edit(estate);
          const done = createInterface(edit, wishFor(subnet, texts), context);
          if (!done.ok) {
            if (edit.awaitedRevision > 0) refused++;
            continue;
          }
          given++;
          const [address] = done.value.addresses.map(formatAddress);
          const since = released.get(address) ?? 0;
          for (const [host, { revision, isRunning, isFenced }] of pictures) {
            if (isFenced && isRunning && revision < since) spared++;
            assert.ok(
              !isRunning || isFenced || revision >= since,
              `${host} has ${revision}, ${address} was released at ${since}`,
            );
          }
          take(
            await client.change((again) =>
              createInterface(again, wishFor(subnet, [address]), context),
            ),
          );
        } else {
          const host = HOSTS[step.host];
          const picture = pictures.get(host);
          if (step.kind === 'start') await start(host);
          if (picture === undefined) continue;
          if (step.kind === 'acknowledge' && picture.isRunning) {
            picture.revision = estate.contentRevision;
            picture.isFenced = false;
            await run((edit) => acknowledge(edit, host, picture.revision));
          }
          // It is cut off. One that does not fence goes on by what it knows.
          if (step.kind === 'lapse' && picture.isRunning) {
            picture.isFenced = host === 'c';
            await run((edit) => edit.remove(aliveKey(host)));
          }
          // A host that is killed says nothing, and whether it is dead or can't be reached nobody can tell.
          if (step.kind === 'leave' || step.kind === 'forget') {
            picture.isRunning = false;
            await run((edit) => edit.remove(appliedKey(host)));
          }
        }
      }
      await client.close();
    }),
    { numRuns: 100, examples: SURE.map((one) => [one]) },
  );
  assert.ok(given > 0 && refused > 0 && spared > 0, `${given} given, ${refused} refused, ${spared} spared`); // prettier-ignore
});

test('a call waits until the release is acknowledged, and others go on meanwhile', async (t) => {
  const [client] = await makeClients(t);
  const subnet = await change(client, (edit) => {
    acknowledge(edit, 'a', 1);
    return { ok: true, value: makeSubnet(edit) };
  });
  const one = await change(client, (edit) =>
    createInterface(edit, wishFor(subnet, ['10.20.1.9']), context),
  );
  await change(client, (edit) => deleteInterface(edit, one.id));
  const { revision } = client.estate;
  const waiting = client.change((edit) =>
    createInterface(edit, wishFor(subnet, ['10.20.1.9']), context),
  );
  await change(client, (edit) => createInterface(edit, wishFor(subnet), context));
  await change(client, (edit) => {
    acknowledge(edit, 'a', revision);
    return { ok: true, value: undefined };
  });
  assert.equal(formatAddress(take(await waiting).value.addresses[0]), '10.20.1.9');
});

test('the refusal names the host, and the least recently released goes first', async (t) => {
  const [client] = await makeClients(t);
  const subnet = await change(client, (edit) => ({ ok: true, value: makeSubnet(edit) }));
  const make = (): Promise<{
    readonly id: string;
    readonly addresses: readonly { readonly words: readonly number[] }[];
  }> => change(client, (edit) => createInterface(edit, wishFor(subnet), context));
  const all: Awaited<ReturnType<typeof make>>[] = [];
  for (let i = 0; i < 11; i++) all.push(await make());
  for (const i of [7, 2, 5]) await change(client, (edit) => deleteInterface(edit, all[i].id));
  const next = async (): Promise<unknown> => (await make()).addresses[0].words;
  assert.deepEqual(await next(), all[7].addresses[0].words);
  await change(client, (edit) => {
    acknowledge(edit, 'rack-2', 1);
    return { ok: true, value: undefined };
  });
  const early = createInterface(new Edit(client.estate), wishFor(subnet), context);
  assert.match(
    refusalOf(early),
    /^InvalidIPAddress.InUse: Address 10.20.1.\d+ was released, and the host rack-2 has not acknowledged that yet.$/,
  );
  await change(client, (edit) => {
    edit.remove(appliedKey('rack-2'));
    return { ok: true, value: undefined };
  });
  assert.deepEqual(await next(), all[2].addresses[0].words);
  assert.deepEqual(await next(), all[5].addresses[0].words);
});

test('a host that is fenced holds no address back, unless its file declares interfaces', async (t) => {
  const [client] = await makeClients(t);
  const { estate } = client;
  const run = (work: (edit: Edit) => void): Promise<undefined> =>
    change(client, (edit) => {
      work(edit);
      return { ok: true, value: undefined };
    });
  await run((edit) => {
    acknowledge(edit, 'a', 0);
    acknowledge(edit, 'c', 0);
  });
  const behind = (): readonly string[] => hostsBehind(estate, estate.revision);
  assert.deepEqual(behind(), ['a', 'c']);
  await run((edit) => {
    edit.remove(aliveKey('a'));
    edit.remove(aliveKey('c'));
  });
  assert.deepEqual(behind(), ['a'], 'one that does not fence may run');
  await run((edit) => {
    writeDetached(edit, 'eni-own', { address: '10.20.1.9', groupIds: [] });
    const declaredAt = { host: 'c', file: 'c.yaml', line: 7 };
    const own = { ...edit.read('interfaces', 'eni-own')!, declaredAt };
    edit.remove(valueKey('interfaces', 'eni-own'));
    edit.put(
      declaredKey('c', 'interfaces', 'eni-own'),
      JSON.stringify(ROW_FORMS.interfaces.encode(own)),
    );
  });
  assert.deepEqual(behind(), ['a', 'c']);
});
