/**
 * Flows with released addresses. In the model check hosts track flows, follow the store revision by revision or read it
 * anew, refuse changes, stop and start with what they saved, and are forgotten; calls release addresses and give them
 * out. Once a host has acknowledged a revision, it has no flow with who had lost its address by then.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatAddress, parseAddress } from '../../src/addr/address.ts';
import { Releases } from '../../src/daemon/releases.ts';
import { Edit } from '../../src/estate/edit.ts';
import { Estate } from '../../src/estate/estate.ts';
import { EstateClient } from '../../src/estate/estate-client.ts';
import { HostPart } from '../../src/estate/host-part.ts';
import {
  createInterface,
  deleteInterface,
  unassignAddresses,
} from '../../src/estate/interfaces.ts';
import { appliedKey, DESIRED, RELEASED, RELEASES_FORGOTTEN } from '../../src/estate/keys.ts';
import { release, TOLD_MAX } from '../../src/estate/released.ts';
import { forgottenText, readForgotten, readReleased } from '../../src/estate/release-text.ts';
import type { EstateInterface, EstateSubnet } from '../../src/estate/model.ts';
import { encodeApplied } from '../../src/estate/rows.ts';
import type { PolicyModel } from '../../src/policy/model.ts';
import type { ReleasedAddresses } from '../../src/policy/released-addresses.ts';
import type { Checked } from '../../src/policy/refusals.ts';
import { ONLY_VPC_ID } from '../../src/policy/vpcs.ts';
import type { SavedReleases } from '../../src/service/snapshot.ts';
import { makeSubnet, wishFor } from '../estate/subnet-world.ts';
import { change, context, DEFAULT_VPC } from '../estate/world.ts';
import { Memory, MemoryStore } from '../store/memory-store.ts';

const HOSTS = ['a', 'b'];
const MODEL = { interfaces: new Map(), vpcs: new Map() } as unknown as PolicyModel;

/** Between an interface here and somebody who had the address then. */
interface Flow {
  readonly address: string;
  readonly owner: string;
}

/** A host as far as it has to do with releases. */
class Host {
  flows: Flow[] = [];
  readonly name: string;
  private readonly memory: Memory;
  private readonly store: MemoryStore;
  private running: { scope: HostPart; estate: Estate; releases: Releases } | undefined;
  private saved: SavedReleases | undefined;

  constructor(name: string, memory: Memory) {
    this.name = name;
    this.memory = memory;
    this.store = new MemoryStore(memory);
  }

  get isRunning(): boolean {
    return this.running !== undefined;
  }

  /** @returns the revision to acknowledge */
  async start(): Promise<number> {
    const estate = new Estate(false);
    this.running = { scope: new HostPart(this.name), estate, releases: new Releases(estate, 's') };
    await this.readAnew();
    this.end(this.running.releases.sinceSaved(this.saved));
    this.running.releases.begin(estate.contentRevision);
    return estate.contentRevision;
  }

  stop(): void {
    this.saved = this.running!.releases.saved;
    this.running = undefined;
  }

  async readAnew(): Promise<void> {
    const { scope, estate } = this.running!;
    estate.apply(await scope.read(this.store, estate));
  }

  async follow(): Promise<void> {
    const { scope, estate } = this.running!;
    while (estate.revision < this.memory.commits.length) {
      const next = this.memory.changeAt(estate.revision + 1, DESIRED);
      estate.apply(await scope.narrow(this.store, estate, next));
    }
  }

  /** @returns the revision to acknowledge */
  apply(isRefused: boolean): number | undefined {
    const { releases, estate } = this.running!;
    const taken = releases.take();
    if (isRefused) {
      releases.giveBack(taken);
      return undefined;
    }
    this.end(taken.addresses);
    releases.settle(taken);
    return estate.contentRevision;
  }

  private end(released: ReleasedAddresses): void {
    const isReleased = released.testFor(MODEL, 'eni-here');
    this.flows = this.flows.filter(({ address }) => {
      const parsed = parseAddress(address);
      assert.ok(parsed.ok);
      return !isReleased(4, Int32Array.from(parsed.value.words), 0);
    });
  }
}

const OFTEN = ['allocate', 'open', 'apply', 'apply'] as const;
const step = fc.record({
  kind: fc.constantFrom(
    ...(['release', 'release', 'unassign', 'forget releases', 'stop', 'start', 'forget'] as const),
    ...(['refuse', 'apply anew', 'take in', 'take in anew', ...OFTEN, ...OFTEN] as const),
  ),
  which: fc.nat(20),
  host: fc.nat(HOSTS.length - 1),
});
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** Hosts, and a client that makes calls. */
class Model {
  ended = 0;
  reused = 0;
  private readonly client: EstateClient;
  private readonly subnet: EstateSubnet;
  private readonly hosts: readonly Host[];
  /** When an owner has lost an address. */
  private readonly lostAt = new Map<string, number>();

  private constructor(client: EstateClient, subnet: EstateSubnet, hosts: readonly Host[]) {
    this.client = client;
    this.subnet = subnet;
    this.hosts = hosts;
  }

  static async make(): Promise<Model> {
    const memory = new Memory();
    const onTrouble = (message: string): void => assert.fail(message);
    const client = await EstateClient.open({ store: new MemoryStore(memory), onTrouble });
    const subnet = await change(client, (edit) => ({ ok: true, value: makeSubnet(edit) }));
    const model = new Model(
      client,
      subnet,
      HOSTS.map((name) => new Host(name, memory)),
    );
    for (const one of model.hosts) await model.acknowledge(one, await one.start());
    return model;
  }

  async run({ kind, which, host }: Step): Promise<void> {
    const { estate } = this.client;
    const interfaces = estate.list('interfaces');
    const some = interfaces.at(which % Math.max(1, interfaces.length));
    const at = this.hosts[host];
    const before = at.flows.length;
    switch (kind) {
      case 'release':
      case 'unassign':
        if (some !== undefined) await this.take(some, kind);
        return;
      case 'allocate':
        return this.allocate(which % 3);
      case 'forget releases':
        return this.forgetReleases(which % 2);
      case 'start':
        if (!at.isRunning) await this.acknowledge(at, await at.start());
        break;
      default:
        if (at.isRunning) await this.runAt(at, kind, some);
    }
    if (at.flows.length < before) this.ended++;
  }

  close(): Promise<void> {
    return this.client.close();
  }

  private async runAt(
    at: Host,
    kind: Exclude<Step['kind'], 'release' | 'unassign' | 'allocate' | 'forget releases' | 'start'>,
    some: EstateInterface | undefined,
  ): Promise<void> {
    if (kind === 'open')
      for (const address of some?.addresses ?? [])
        at.flows.push({ address: formatAddress(address), owner: some!.id });
    else if (kind === 'stop' || kind === 'forget') {
      if (kind === 'stop') at.stop();
      await this.edit((edit) => edit.remove(appliedKey(at.name)));
    } else {
      await (kind.endsWith('anew') ? at.readAnew() : at.follow());
      if (!kind.startsWith('take')) await this.acknowledge(at, at.apply(kind === 'refuse'));
    }
  }

  private async acknowledge(one: Host, revision: number | undefined): Promise<void> {
    if (revision === undefined) return;
    await this.edit((edit) => edit.put(appliedKey(one.name), encodeApplied({ revision })));
    for (const { address, owner } of one.flows) {
      const lost = this.lostAt.get(`${address} ${owner}`) ?? Infinity;
      const said = `${one.name} acknowledged ${revision}`;
      assert.ok(lost > revision, `${said}: ${owner} lost ${address} at ${lost}`);
    }
  }

  private async take(
    { id, addresses }: EstateInterface,
    kind: 'release' | 'unassign',
  ): Promise<void> {
    const [first, ...others] = addresses.map(formatAddress);
    if (kind === 'release') await change(this.client, (edit) => deleteInterface(edit, id));
    else if (others.length === 0) return;
    else await change(this.client, (edit) => unassignAddresses(edit, id, 4, others));
    for (const address of kind === 'release' ? [first, ...others] : others)
      this.lostAt.set(`${address} ${id}`, this.client.estate.revision);
  }

  private async allocate(place: number): Promise<void> {
    const texts = [`10.20.1.${4 + place}`, ...(place === 0 ? ['10.20.1.9'] : [])];
    const work = (edit: Edit): Checked<EstateInterface> =>
      createInterface(edit, wishFor(this.subnet, texts), context);
    // As the client makes a call, but for its patience.
    if (!work(new Edit(this.client.estate)).ok) return;
    await change(this.client, work);
    if ([...this.lostAt.keys()].some((key) => key.startsWith(`${texts[0]} `))) this.reused++;
  }

  /** As it is when many more are released. */
  private async forgetReleases(left: number): Promise<void> {
    const { released, releasesForgotten } = this.client.estate;
    const old = [...released].slice(0, Math.max(0, released.size - left));
    const newest = Math.max(releasesForgotten, ...old.map(([, revision]) => revision));
    await this.edit((edit) => {
      for (const [key] of old) edit.remove(key);
      edit.put(RELEASES_FORGOTTEN, forgottenText(newest));
    });
  }

  private edit(work: (edit: Edit) => void): Promise<void> {
    return change(this.client, (edit) => ({ ok: true, value: work(edit) }));
  }
}

test('a host has no flow with a former owner once it has acknowledged the release', async () => {
  let [ended, reused] = [0, 0];
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 40, maxLength: 100 }), async (steps) => {
      const model = await Model.make();
      for (const one of steps) await model.run(one);
      await model.close();
      ended += model.ended;
      reused += model.reused;
    }),
    { numRuns: 100 },
  );
  assert.ok(ended > 50 && reused > 50, `${ended} ended, ${reused} reused`);
});

function makeEstate(): Estate {
  const estate = new Estate();
  const edit = new Edit(estate);
  edit.write('vpcs', DEFAULT_VPC.id, DEFAULT_VPC);
  commit(estate, edit);
  return estate;
}

function commit(estate: Estate, edit: Edit): void {
  const revision = estate.revision + 1;
  const { puts, deletes } = edit.commit();
  estate.apply({ revision, puts: puts.map((row) => ({ ...row, revision })), deletes });
}

test('hosts are told of so many releases at most, and up to where some were forgotten', () => {
  const estate = makeEstate();
  const revisions: number[] = [];
  for (let i = 0; i < TOLD_MAX + 100; i++) {
    const edit = new Edit(estate);
    release(edit, ONLY_VPC_ID, `10.0.${i >> 8}.${i & 255}`);
    commit(estate, edit);
    revisions.push(estate.revision);
    assert.ok(estate.released.size <= TOLD_MAX + 1);
    const kept = revisions.filter((one) => one > estate.releasesForgotten);
    assert.deepEqual([...estate.released.values()], kept);
  }
  assert.ok(estate.releasesForgotten > 0);
});

test('a commit that takes many addresses tells of them in one row', () => {
  const estate = makeEstate();
  const edit = new Edit(estate);
  release(edit, ONLY_VPC_ID, '10.0.0.1');
  release(edit, 'vpc-2', '2001:db8::1');
  const told = edit.commit().puts.filter(({ key }) => key.startsWith(RELEASED));
  assert.deepEqual(
    told.map(({ value }) => value),
    [`{"addresses":["${ONLY_VPC_ID} 10.0.0.1","vpc-2 2001:db8::1"]}`],
  );
  const found = readReleased(told[0].value)!.map(({ vpcId, address }) => `${vpcId} ${formatAddress(address)}`); // prettier-ignore
  assert.deepEqual(found, [`${ONLY_VPC_ID} 10.0.0.1`, 'vpc-2 2001:db8::1']);
  // What was given back by who had leased it was told before.
  const later = new Edit(estate);
  release(later, ONLY_VPC_ID, '10.0.0.2', 7);
  assert.deepEqual(later.commit().puts.map(({ key }) => key).filter((key) => key.startsWith(DESIRED)), []); // prettier-ignore
});

test('whatever stands in the rows is read, or counts as if nothing were known', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string(), fc.jsonValue().map((value) => JSON.stringify({ addresses: value })), fc.jsonValue().map((value) => JSON.stringify(value))), // prettier-ignore
      fc.integer({ min: 1, max: 1000 }),
      (text, revision) => {
        const estate = new Estate(false);
        const releases = new Releases(estate, 's');
        const key = `${RELEASED}x`;
        estate.apply({ revision, puts: [{ key, value: text, revision }], deletes: [] });
        const { addresses } = releases.take();
        const read = readReleased(text);
        assert.equal(addresses.areUnknown, read === undefined);
        assert.equal(addresses.count, read?.length ?? 0);
        assert.equal(estate.unreadable.size, 0);
        const forgotten = readForgotten(text, revision);
        assert.ok(Number.isInteger(forgotten) && forgotten >= 0 && forgotten <= revision);
      },
    ),
  );
  for (const text of ['', '{}', '{"revision":-1}', '{"revision":1e3}', '{"revision":null}'])
    assert.equal(readForgotten(text, 9), 9, text);
  assert.equal(readForgotten('{"revision":99999}', 9), 9);
  assert.equal(readForgotten('{"revision":4}', 9), 4);
});
