/** Which interfaces the host is kept from, while those that fit a match come, go and change their names. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import { MatchedLinks } from '../../src/daemon/matched-links.ts';
import { absentDevice } from '../../src/daemon/port-specs.ts';
import type { Device, DeviceSpec } from '../../src/ports/device.ts';
import { matchLabel, type Link, type LinkMatch } from '../../src/ports/link-match.ts';

function specOf(match: LinkMatch | string): DeviceSpec {
  const found = typeof match === 'string' ? { name: match } : { name: matchLabel(match), match };
  return {
    ...{ kind: 'attach', mtu: 1500, persist: false, queues: 1, configure: false },
    ...{ netnsPath: undefined, addresses: [], routes: [] },
    ...found,
  };
}

const WEB = specOf({ name: 'v*', alias: 'web' });

function link(ifindex: number, name: string, alias = 'web'): Link {
  return { ifindex, name, alias, mac: '' };
}

/** What a match does not look at. */
const PLAIN = { kind: '', flags: 0, type: 1, link: 0, linkNetnsId: -1 };

/** A kernel of which only the guards count: each holds for whatever has its name. */
class World {
  links: readonly Link[] = [];
  readonly guards = new Set<string>();
  readonly warnings: string[] = [];
  isBroken = false;
  readonly matched = new MatchedLinks(
    {
      listLinks: () => this.links.map((one) => ({ ...one, ...PLAIN })),
      lookAtDevice: (_, name) => ({
        ...{ ifindex: 1, mtu: 1500, isUp: true },
        isGuarded: this.guards.has(name),
      }),
      guardDevice: (_, name) => {
        if (this.isBroken) throw new Error(`${name} can't be guarded`);
        this.guards.add(name);
      },
      unguardDevice: (_, name) => void this.guards.delete(name),
    },
    pino({ base: null }, { write: (line) => void this.warnings.push(line) }),
  );

  open(spec: DeviceSpec, { ifindex, name }: Link): Device {
    this.guards.add(name);
    const device = { ...absentDevice(spec), ifindex, name };
    this.matched.note(device);
    return device;
  }

  /** A second passes. */
  follow(...open: readonly Device[]): string[] {
    this.matched.follow(open, () => this.links);
    return [...this.guards].sort();
  }

  hold(spec = WEB): string | undefined {
    return this.matched.hold(spec, this.links);
  }
}

test('one that fits can be opened, and is not guarded before', () => {
  const world = new World();
  world.links = [link(1, 'v1'), link(2, 'v2', 'db'), link(3, 'eth0')];
  assert.equal(world.hold(), undefined);
  assert.deepEqual([...world.guards], []);
  assert.deepEqual(world.follow(), ['v1'], 'it was not opened, and belongs to nobody');
});

test('of two that fit both are guarded, and stay so when they fit no longer', () => {
  const world = new World();
  world.links = [link(1, 'v1'), link(2, 'v2')];
  assert.match(world.hold()!, /^2 interfaces are 'v\* alias web', v1 and v2/);
  assert.deepEqual(world.follow(), ['v1', 'v2']);
  world.links = [link(1, 'v1'), link(2, 'v2', 'db')];
  assert.equal(world.hold(), undefined);
  assert.deepEqual(world.follow(), ['v1', 'v2']);
  world.guards.clear();
  assert.deepEqual(world.follow(), ['v1', 'v2'], 'a ruleset that was flushed comes again');
  world.links = [link(1, 'v1')];
  assert.deepEqual(world.follow(), ['v1'], 'the next v2 may be anybody’s');
});

test('a guard follows a name that changes, and leaves the name to whoever has it next', () => {
  const world = new World();
  const first = link(1, 'v1');
  world.links = [first];
  const device = world.open(WEB, first);
  world.links = [link(1, 'v7')];
  assert.deepEqual(world.follow(device), ['v7']);
  world.links = [link(1, 'v8'), link(5, 'v7', '')];
  assert.deepEqual(world.follow(), ['v8'], 'v7 is a stranger now');
});

test('names that are exchanged leave both guarded', () => {
  const world = new World();
  const db = specOf({ alias: 'db' });
  world.links = [link(1, 'v1'), link(2, 'v2', 'db')];
  const devices = [world.open(WEB, world.links[0]), world.open(db, world.links[1])];
  world.links = [link(1, 'v2'), link(2, 'v1', 'db')];
  assert.deepEqual(world.follow(...devices), ['v1', 'v2']);
  world.links = [link(2, 'v1', 'db')];
  assert.deepEqual(world.follow(devices[1]), ['v1']);
});

test('a name that an open device has by now keeps its guard', () => {
  const world = new World();
  const plain = { ...absentDevice(specOf('v1')), ifindex: 9 };
  world.links = [link(1, 'v1')];
  world.open(WEB, world.links[0]);
  world.links = [link(9, 'v1', '')];
  assert.deepEqual(world.follow(plain), ['v1']);
});

test('what only a match that is gone fitted is the host’s again', () => {
  const world = new World();
  world.links = [link(1, 'v1'), link(2, 'v2')];
  world.hold();
  world.matched.release([specOf({ alias: 'db' })], [WEB]);
  assert.deepEqual(world.follow(), ['v1', 'v2']);
  // v1 is known by its name from now on; its owner looks after the guard.
  world.matched.release([WEB], [specOf('v1')]);
  assert.deepEqual([...world.guards], ['v1']);
  world.guards.delete('v1');
  assert.deepEqual(world.follow(), []);
});

test('another match that fits takes the guard over, also from a name', () => {
  const world = new World();
  const other = specOf({ alias: 'web' });
  world.links = [link(1, 'v1')];
  world.open(WEB, world.links[0]);
  world.matched.release([WEB], [other]);
  world.guards.clear();
  assert.deepEqual(world.follow(), ['v1']);

  assert.equal(world.matched.inherits(specOf('v1'), [specOf({ alias: 'db' })]), false);
  assert.equal(world.matched.inherits(specOf('v2'), [other]), false);
  assert.equal(world.matched.inherits(specOf('v1'), [other]), true);
  world.matched.release([other], []);
  assert.deepEqual([...world.guards], []);
});

test('what fails each second is told once, and again when it comes back', () => {
  const world = new World();
  world.isBroken = true;
  world.links = [link(1, 'v1'), link(2, 'v2')];
  for (let second = 0; second < 3; second++) {
    world.hold();
    world.follow();
  }
  assert.equal(world.warnings.length, 2, 'one for each interface');
  world.isBroken = false;
  world.follow();
  world.follow();
  world.isBroken = true;
  world.guards.clear();
  world.follow();
  assert.equal(world.warnings.length, 4);
});

test('a namespace that is another by now has nothing of ours', () => {
  const world = new World();
  const gone = { ...WEB, netnsPath: '/run/netns/sgt-not-there' };
  world.links = [link(1, 'v1'), link(2, 'v2')];
  world.matched.hold(gone, world.links);
  const own = { ...WEB, netnsPath: '/proc/self/ns/net' };
  world.matched.hold(own, world.links);
  world.guards.clear();
  world.links = [link(1, 'v8'), link(2, 'v9')];
  assert.deepEqual(world.follow(), ['v8', 'v9'], 'those of the namespace that is the same');
});
