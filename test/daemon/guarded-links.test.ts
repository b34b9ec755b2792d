/** Which interfaces the host is kept from, while those that fit a match come, go and change their names. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import { GuardedLinks } from '../../src/daemon/guarded-links.ts';
import { absentDevice } from '../../src/daemon/port-specs.ts';
import type { DeviceSpec } from '../../src/ports/device.ts';
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
  onListed?: () => void;
  onUnguarded?: (name: string) => void;
  readonly guarded = new GuardedLinks(
    {
      listLinks: () => this.links.map((one) => ({ ...one, ...PLAIN })),
      listGuards: () => {
        const names = [...this.guards];
        this.onListed?.();
        return names;
      },
      lookAtDevice: (_, name) => ({
        ifindex: this.links.find((one) => one.name === name)?.ifindex ?? 0,
        ...{ mtu: 1500, isUp: true },
        isGuarded: this.guards.has(name),
      }),
      guardDevice: (_, name) => {
        if (this.isBroken) throw new Error(`${name} can't be guarded`);
        this.guards.add(name);
      },
      unguardDevice: (_, name) => {
        this.guards.delete(name);
        this.onUnguarded?.(name);
      },
    },
    pino({ base: null }, { write: (line) => void this.warnings.push(line) }),
  );

  open(spec: DeviceSpec, { ifindex, name }: Link): void {
    this.guards.add(name);
    this.guarded.note({ ...absentDevice(spec), ifindex, name });
  }

  /** A second passes. */
  follow(): string[] {
    this.guarded.follow(() => this.links);
    return [...this.guards].sort();
  }

  hold(spec = WEB): string | undefined {
    return this.guarded.hold(spec, this.links);
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
  world.open(WEB, first);
  world.links = [link(1, 'v7')];
  assert.deepEqual(world.follow(), ['v7']);
  world.links = [link(1, 'v8'), link(5, 'v7', '')];
  assert.deepEqual(world.follow(), ['v8'], 'v7 is a stranger now');
});

test('one that takes the place of another is not opened in between', () => {
  const world = new World();
  world.links = [link(1, 'v1')];
  world.open(WEB, world.links[0]);
  world.links = [link(2, 'v1')];
  world.onUnguarded = (name) => assert.fail(`${name} was opened`);
  assert.deepEqual(world.follow(), ['v1']);
});

test('names that are exchanged leave both guarded', () => {
  const world = new World();
  const db = specOf({ alias: 'db' });
  world.links = [link(1, 'v1'), link(2, 'v2', 'db')];
  world.open(WEB, world.links[0]);
  world.open(db, world.links[1]);
  world.links = [link(1, 'v2'), link(2, 'v1', 'db')];
  assert.deepEqual(world.follow(), ['v1', 'v2']);
  world.links = [link(2, 'v1', 'db')];
  assert.deepEqual(world.follow(), ['v1']);
});

test('one that is known by its name is followed too, and its name stays closed', () => {
  const world = new World();
  const web = specOf('v1');
  world.links = [link(1, 'v1', '')];
  world.open(web, world.links[0]);
  world.links = [link(1, 'v7', '')];
  assert.deepEqual(world.follow(), ['v1', 'v7'], 'nobody asked for the next v1 to be let in');
  world.links = [link(1, 'v8', ''), link(2, 'v1', '')];
  assert.deepEqual(world.follow(), ['v1', 'v8'], 'v7 is nobody’s');
  world.guards.delete('v1');
  world.guarded.guardStranger(web, world.links);
  assert.deepEqual([...world.guards].sort(), ['v1', 'v8']);
  assert.match(world.warnings.at(-1)!, /another interface has the name/);
  const { length } = world.warnings;
  world.guarded.guardStranger(web, world.links);
  assert.equal(world.warnings.length, length, 'that is told once');
  world.guarded.release([web], []);
  assert.deepEqual([...world.guards], []);
});

test('a guard that is removed comes again at once, and that is told', () => {
  const world = new World();
  world.links = [link(1, 'v1')];
  world.open(WEB, world.links[0]);
  world.guards.clear();
  const at = (name: string): void =>
    world.guarded.followAt(
      { netns: undefined, ifindexes: new Set(), names: new Set([name]) },
      () => world.links,
    );
  at('v2');
  assert.deepEqual([...world.guards], []);
  at('v1');
  assert.deepEqual([...world.guards], ['v1']);
  assert.match(world.warnings[0], /was removed, and is there again/);
});

test('guards of an earlier daemon go with their interface, and never open one that is there', () => {
  const world = new World();
  world.links = [link(1, 'v1'), link(2, 'v2')];
  for (const name of ['v1', 'v2', 'v3', 'v4', 'v5']) world.guards.add(name);
  // One comes between the two lists, one between the list and the end of its guard.
  world.onListed = () => void (world.links = [...world.links, link(5, 'v5')]);
  world.onUnguarded = (name) => {
    if (name === 'v4') world.links = [...world.links, link(4, 'v4')];
  };
  world.guarded.sweep([specOf('v2'), WEB]);
  assert.deepEqual([...world.guards].sort(), ['v1', 'v2', 'v4', 'v5']);
  world.links = [];
  world.guards.clear();
  world.guards.add('v2');
  world.guarded.sweep([specOf('v2')]);
  assert.deepEqual([...world.guards], ['v2'], 'the configuration waits for it');
});

test('what only a match that is gone fitted is the host’s again', () => {
  const world = new World();
  world.links = [link(1, 'v1'), link(2, 'v2')];
  world.hold();
  world.guarded.release([specOf({ alias: 'db' })], [WEB]);
  assert.deepEqual(world.follow(), ['v1', 'v2']);
  // v1 is known by its name from now on.
  world.guarded.release([WEB], [specOf('v1')]);
  assert.deepEqual([...world.guards], ['v1']);
  world.guards.delete('v1');
  assert.deepEqual(world.follow(), ['v1']);
});

test('another match that fits takes the guard over, also from a name', () => {
  const world = new World();
  const other = specOf({ alias: 'web' });
  world.links = [link(1, 'v1')];
  world.open(WEB, world.links[0]);
  world.guarded.release([WEB], [other]);
  world.guards.clear();
  assert.deepEqual(world.follow(), ['v1']);

  // Of one that waits for its interface the guard may be an earlier daemon's.
  const release = (name: string, ...kept: readonly DeviceSpec[]): string[] => {
    world.guards.add(name);
    world.guarded.release([specOf(name)], kept);
    return [...world.guards].sort();
  };
  world.links = [...world.links, link(3, 'v3')];
  assert.deepEqual(release('v3', other), ['v1', 'v3'], 'a match fits it');
  assert.deepEqual(release('v3', specOf({ alias: 'db' })), ['v1']);
  assert.deepEqual(release('v9', other), ['v1'], 'it is not there');
  assert.deepEqual(release('v9', specOf('v9')), ['v1', 'v9']);
  world.guards.delete('v9');
  world.guarded.release([other], []);
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
  world.guarded.hold(gone, world.links);
  const own = { ...WEB, netnsPath: '/proc/self/ns/net' };
  world.guarded.hold(own, world.links);
  world.guards.clear();
  world.links = [link(1, 'v8'), link(2, 'v9')];
  assert.deepEqual(world.follow(), ['v8', 'v9'], 'those of the namespace that is the same');
});
