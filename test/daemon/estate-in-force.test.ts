/** What of a store is in force, where the daemon refuses it for a while, and where it holds a part of it. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { pino } from 'pino';
import { compareConfigs } from '../../src/daemon/changes.ts';
import { EstateInForce, type Enforcer } from '../../src/daemon/estate-in-force.ts';

import type { Config } from '../../src/config/config.ts';
import { EstateFollower } from '../../src/estate/estate-follower.ts';
import { HostPart } from '../../src/estate/host-part.ts';
import { HostRows } from '../../src/estate/host-rows.ts';
import type { ReleasedAddresses } from '../../src/policy/released-addresses.ts';
import { loadText } from '../config/config-text.ts';
import { writeAttached } from '../estate/write-interface.ts';
import { ALIVE, DEFAULT_VPC } from '../estate/world.ts';
import { Memory, MemoryStore } from '../store/memory-store.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { openClient } from './estate-world.ts';

const ID = 'eni-00000000000000001';
const ELSEWHERE = 'eni-00000000000000002';

/** Puts in force whatever it gets, unless it is told to refuse. */
class FakeEnforcer implements Pick<Enforcer, 'config' | 'reload' | 'waiting' | 'endReleased'> {
  readonly ended: ReleasedAddresses[] = [];
  config: Config;
  refuses = 0;
  reloads = 0;

  constructor(config: Config) {
    this.config = config;
  }

  async reload(next: Config): Promise<ReturnType<typeof compareConfigs>> {
    this.reloads++;
    if (this.refuses-- > 0) throw new Error('EMFILE: too many open files');
    const changes = compareConfigs(this.config, next);
    this.config = next;
    return changes;
  }

  endReleased(released: ReleasedAddresses): Promise<void> {
    if (!released.isEmpty) this.ended.push(released);
    return Promise.resolve();
  }

  waiting(): readonly [] {
    return [];
  }
}

async function startHost(t: TestContext) {
  const memory = new Memory();
  const onTrouble = (message: string): void => assert.fail(message);
  const api = await openClient(memory);
  const follower = new EstateFollower({
    ...{ store: new MemoryStore(memory), scope: new HostPart('here'), onTrouble },
  });
  await follower.open();
  const rows = new HostRows({
    ...{ store: new MemoryStore(memory), host: 'here', alive: ALIVE, intervalMs: 0, onTrouble },
  });
  const { config } = loadText('securityGroups: { other: {} }\n');
  assert.ok(config !== undefined);
  const inForce = new EstateInForce({
    ...{ follower, rows, client: undefined, place: 'memory', host: 'here' },
    ...{ netnsDirectory: '/run/netns', flowLogDirectory: '/nowhere', declared: config },
    log: pino({ enabled: false }),
  });
  const enforcer = new FakeEnforcer(inForce.join());
  await inForce.follow(enforcer as unknown as Enforcer);
  t.after(async () => {
    await inForce.stop();
    await api.close();
  });
  await api.change((edit) => {
    edit.write('vpcs', DEFAULT_VPC.id, DEFAULT_VPC);
    return { ok: true, value: undefined };
  });
  assert.ok(await api.until(() => api.estate.applied().has('here'), GUARD_MS));
  assert.deepEqual(await api.enforce(api.estate.revision, GUARD_MS), { kind: 'inForce' });
  const attach = async (id: string, host: string): Promise<number> => {
    await api.change((edit) => {
      const address = `10.0.0.${id.slice(-1)}`;
      writeAttached(edit, id, { device: 'dev-x', address, groupIds: ['sg-1'], host });
      return { ok: true, value: undefined };
    });
    return api.estate.revision;
  };
  return { api, enforcer, attach, inForce };
}

test('what was refused is tried again with the next revision, whatever that is about', async (t) => {
  const { api, enforcer, attach } = await startHost(t);
  enforcer.refuses = 1;
  const revision = await attach(ID, 'here');
  assert.deepEqual(await api.enforce(revision, GUARD_MS), {
    ...{ kind: 'refused', host: 'here', message: 'EMFILE: too many open files' },
  });
  assert.equal(enforcer.config.interfaces.length, 0);
  const later = await attach(ELSEWHERE, 'there');
  assert.deepEqual(await api.enforce(later, GUARD_MS), { kind: 'inForce' });
  assert.deepEqual(
    enforcer.config.interfaces.map(({ id }) => id),
    [ID],
  );
});

test('what has nothing to do with a host is in force there without any work', async (t) => {
  const { api, enforcer, attach } = await startHost(t);
  await api.enforce(await attach(ID, 'here'), GUARD_MS);
  const { reloads } = enforcer;
  const revision = await attach(ELSEWHERE, 'there');
  assert.deepEqual(await api.enforce(revision, GUARD_MS), { kind: 'inForce' });
  assert.equal(enforcer.reloads, reloads);
});
