/**
 * Fencing by the lease, as a model: hosts with clocks of their own are cut off, stand still, sleep, lose their row and
 * start again by what they knew, while an interface is moved by the rule that sgctl goes by. At each moment at most one
 * host lets packets of it through. What is real here is the fence of the packet loops, who keeps it, and the rule; the
 * store and its leases are plain.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import { pino } from 'pino';
import { Fencing, type SaidRows } from '../../src/daemon/fencing.ts';
import { createFenceMemory, Fence, setFence } from '../../src/engine/fence.ts';
import { isFenced, type FenceView } from '../../src/estate/fenced-hosts.ts';
import { ALIVE } from '../estate/world.ts';

const log = pino({ enabled: false });
const TTL_MS = 10_000;
const HOSTS = ['a', 'b', 'c'] as const;
type Name = (typeof HOSTS)[number];

/** Who has the interface: nobody opens it while it is held. */
interface Placed {
  readonly host: Name;
  readonly from?: Name;
  readonly isHeld: boolean;
}

class Store {
  revision = 1;
  nowMs = 0;
  placed: Placed = { host: 'a', isHeld: false };
  /** At which revision the interface was moved last. */
  placedRevision = 1;
  readonly alive = new Map<Name, { putRevision: number; expiresMs: number }>();
  readonly acknowledged = new Map<Name, number>();

  /** Removes the rows of those that were silent. */
  expire(): void {
    for (const [name, { expiresMs }] of this.alive)
      if (expiresMs <= this.nowMs) {
        this.alive.delete(name);
        this.revision++;
      }
  }

  get view(): FenceView {
    const applied = [...this.acknowledged].map(([name, revision]) => [name, { revision, fence: 'lease' }] as const); // prettier-ignore
    return {
      applied: () => new Map(applied),
      alive: () => new Map([...this.alive.keys()].map((name) => [name, ALIVE] as const)),
    };
  }
}

class Host implements SaidRows {
  readonly name: Name;
  private readonly store: Store;
  /** How fast its clock runs. */
  private readonly rate: number;
  isCut = false;
  /** Its control plane stands still, or all of it. */
  isHung = false;
  /** By its own clock. */
  nowMs = 1000;
  placed: Placed = { host: 'a', isHeld: false };
  private revision = 1;
  private lease: { untilMs: number; putRevision: number } | undefined;
  private fence!: Fence;
  fencing!: Fencing;
  readonly isTold = true;
  private reading: { readonly go: () => void } | undefined;

  constructor(name: Name, store: Store, rate: number) {
    this.name = name;
    this.store = store;
    this.rate = rate;
    this.start();
  }

  get alive(): SaidRows['alive'] {
    const { lease } = this;
    return { untilMs: lease?.untilMs ?? 0, sinceRevision: lease?.putRevision ?? 0 };
  }

  /** Anew, by what it knew. */
  start(): void {
    this.fencing?.stop();
    this.isHung = false;
    this.lease = undefined;
    this.reading = undefined;
    const memory = createFenceMemory();
    this.fence = new Fence(memory, 2, () => this.nowMs);
    this.fence.ports[1] = 1;
    this.fencing = new Fencing({
      ...{ setting: 'lease', wasFencing: false, rows: this, log, later: () => undefined },
      catchUp: () => this.catchUp(),
      clockMs: () => this.nowMs,
    });
    this.fencing.start((bootMs) => setFence(new Int32Array(memory), bootMs));
  }

  pass(ms: number): void {
    this.nowMs += ms * this.rate;
  }

  /** What the watch tells, or has not told yet. */
  hear(): void {
    if (this.isCut || this.isHung) return;
    this.take(this.store.placed, this.store.revision);
  }

  renew(answerIsLost: boolean): void {
    if (this.isCut || this.isHung) return;
    const { store } = this;
    const sentMs = this.nowMs;
    const there = store.alive.get(this.name);
    const isKept = there !== undefined && this.lease?.putRevision === there.putRevision;
    const putRevision = isKept ? there.putRevision : ++store.revision;
    store.alive.set(this.name, { putRevision, expiresMs: store.nowMs + TTL_MS });
    if (answerIsLost) {
      // It puts another one next time.
      if (!isKept) this.lease = undefined;
      return;
    }
    this.lease = { untilMs: sentMs + TTL_MS, putRevision };
  }

  look(): void {
    if (!this.isHung) this.fencing.look();
  }

  /** Lets a read that is under way come to its end. */
  goOn(): void {
    if (!this.isHung) this.reading?.go();
  }

  /** All that a host does that is well. */
  async live(): Promise<void> {
    this.renew(false);
    this.look();
    await nextTurn();
    this.goOn();
    await nextTurn();
    this.look();
    this.hear();
  }

  get passes(): boolean {
    this.fence.look();
    return this.placed.host === this.name && !this.placed.isHeld && !this.fence.holds(1);
  }

  private async catchUp(): Promise<string | undefined> {
    if (this.isCut) throw new Error('it is away');
    const { placed, revision } = this.store;
    await new Promise<void>((go) => (this.reading = { go }));
    this.take(placed, revision);
    return undefined;
  }

  private take(placed: Placed, revision: number): void {
    if (revision < this.revision) return;
    this.revision = revision;
    this.placed = placed;
    if (!this.isCut) this.store.acknowledged.set(this.name, revision);
  }
}

const which = fc.nat(HOSTS.length - 1);
const steps = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 4000 }) }) },
    { weight: 12, arbitrary: fc.record({ kind: fc.constant('live' as const), which }) },
    { weight: 8, arbitrary: fc.record({ kind: fc.constantFrom('renew' as const, 'look' as const, 'goOn' as const, 'hear' as const), which }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('cut' as const, 'hang' as const, 'start' as const, 'lose' as const), which }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('move' as const), which }) },
    { weight: 6, arbitrary: fc.constant({ kind: 'arrive' as const }) },
  ),
  { minLength: 30, maxLength: 150 },
); // prettier-ignore
const rates = fc.tuple(...HOSTS.map(() => fc.double({ min: 0.99, max: 1.01, noNaN: true })));

/** By the rule of hosts/move-interface.ts. @param isFencedHost the rule about a host that does not answer */
async function play(
  all: readonly (typeof steps extends fc.Arbitrary<(infer T)[]> ? T : never)[],
  speeds: readonly number[],
  isFencedHost: typeof isFenced,
  seen: { arrived: number; fenced: number; passed: number },
): Promise<void> {
  const store = new Store();
  const hosts = HOSTS.map((name, i) => new Host(name, store, speeds[i]));
  for (const host of hosts) store.acknowledged.set(host.name, 1);
  for (const step of all) {
    const host = 'which' in step ? hosts[step.which] : hosts[0];
    const { placed } = store;
    if (step.kind === 'wait') {
      store.nowMs += step.ms;
      for (const one of hosts) one.pass(step.ms);
      store.expire();
    } else if (step.kind === 'live') await host.live();
    else if (step.kind === 'cut') host.isCut = !host.isCut;
    else if (step.kind === 'hang') host.isHung = !host.isHung;
    else if (step.kind === 'lose') host.renew(true);
    else if (step.kind === 'renew') host.renew(false);
    else if (
      step.kind === 'look' ||
      step.kind === 'goOn' ||
      step.kind === 'hear' ||
      step.kind === 'start'
    )
      host[step.kind](); // prettier-ignore
    else if (step.kind === 'move' && !placed.isHeld && placed.host !== host.name) {
      store.placed = { host: host.name, from: placed.host, isHeld: true };
      store.placedRevision = ++store.revision;
    } else if (step.kind === 'arrive' && placed.isHeld) {
      const from = placed.from!;
      const hasSaid = store.acknowledged.get(from)! >= store.placedRevision;
      if (hasSaid || isFencedHost(store.view, from)) {
        store.placed = { host: placed.host, isHeld: false };
        store.revision++;
        seen.arrived++;
        if (!hasSaid) seen.fenced++;
      }
    }
    await nextTurn();
    const owners = hosts.filter((one) => one.passes).map(({ name }) => name);
    if (owners.length > 0) seen.passed++;
    assert.ok(owners.length <= 1, `both have it: ${owners.join(', ')}, after ${JSON.stringify(step)}`); // prettier-ignore
  }
  for (const one of hosts) one.fencing.stop();
}

test('at each moment at most one host lets packets through', async () => {
  const seen = { arrived: 0, fenced: 0, passed: 0 };
  await fc.assert(
    fc.asyncProperty(steps, rates, (all, speeds) => play(all, speeds, isFenced, seen)),
    { numRuns: 500 },
  );
  assert.ok(seen.fenced > 0 && seen.arrived > seen.fenced && seen.passed > 0, JSON.stringify(seen));
});

test('the model finds a rule that is wrong', async () => {
  const seen = { arrived: 0, fenced: 0, passed: 0 };
  const found = await fc.check(
    fc.asyncProperty(steps, rates, (all, speeds) => play(all, speeds, () => true, seen)),
    { numRuns: 2000 },
  );
  assert.match(String(found.errorInstance), /both have it/);
});

test('what the store says of the lease counts at once, and what can not be put in force opens nothing', async () => {
  const rows = { isTold: true, alive: { untilMs: 0, sinceRevision: 0 } };
  let why: string | Error | undefined = 'it was refused';
  let untilMs = 0;
  const fencing = new Fencing({
    ...{ setting: 'lease', wasFencing: false, rows, log, later: () => undefined },
    catchUp: () => (why instanceof Error ? Promise.reject(why) : Promise.resolve(why)),
    clockMs: () => nowMs,
  });
  let nowMs = 1000;
  const look = async (): Promise<string | undefined> => {
    // Attempts that failed are not repeated at once.
    nowMs += 1000;
    fencing.look();
    await nextTurn();
    fencing.look();
    return fencing.status().fenced;
  };
  fencing.start((bootMs) => (untilMs = bootMs));
  assert.equal(await look(), 'its lease of the store is not there yet');
  rows.alive = { untilMs: 60_000, sinceRevision: 7 };
  assert.equal(await look(), 'what the store has is not in force: it was refused');
  why = new Error('it is away');
  assert.equal(await look(), "the store can't be read: it is away");
  why = undefined;
  assert.equal(await look(), undefined);
  assert.equal(untilMs, 59_500);
  rows.alive = { untilMs: 0, sinceRevision: 7 };
  assert.equal(await look(), 'its lease of the store ran out');
  assert.equal(untilMs, 0);
  rows.alive = { untilMs: 90_000, sinceRevision: 9 };
  assert.equal(await look(), undefined);
  rows.alive = { untilMs: 0, sinceRevision: 0 };
  assert.equal(await look(), 'its lease of the store ran out');
});

test('a host that fenced and does not any more opens when the store knows of it', () => {
  const rows = { isTold: false, alive: { untilMs: 0, sinceRevision: 0 } };
  let [untilMs, told] = [0, 0];
  const fencing = new Fencing({
    ...{ setting: 'none', wasFencing: true, rows, log, later: () => undefined },
    ...{ catchUp: () => assert.fail(), clockMs: () => 1, onToldNone: () => told++ },
  });
  fencing.start((bootMs) => (untilMs = bootMs));
  assert.deepEqual([fencing.isFenced, untilMs, told], [true, 0, 0]);
  rows.isTold = true;
  fencing.look();
  assert.deepEqual([fencing.isFenced, untilMs, told], [false, Infinity, 1]);
  fencing.look();
  assert.equal(told, 1);
});
