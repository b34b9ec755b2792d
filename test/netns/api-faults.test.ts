/**
 * Faults under calls and packets: a full disk, a store that is gone or damaged while it is in use, a daemon that can't
 * put a change in force. A call says what became of it, and packets obey what was in force before.
 */
import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Sqlite } from '../../src/store/sqlite.ts';
import { openSqliteStore } from '../../src/store/sqlite-store.ts';
import { send, type Got } from '../api/request.ts';
import { makeFolder } from '../store/folder.ts';
import { requireFileStore } from '../support/api-program.ts';
import { mustRun, run } from '../support/process.ts';
import { requireTools } from '../support/require.ts';
import { startApiWorld, type ApiWorld } from './api-world.ts';
import { canRun, Daemon, ping, pingInVain, temporaryFile } from './world.ts';

const WEB = '172.31.0.100';
const CHUNK = Buffer.alloc(1 << 16);
const CALLS_MAX = 200;
const PAGE_BYTES = 4096;

type Parameters = Readonly<Record<string, string>>;

/** A world with an interface in a group that admits pings. */
class Served {
  readonly world: ApiWorld<'web'>;
  private readonly port: number;
  groupId = '';

  private constructor(world: ApiWorld<'web'>) {
    this.world = world;
    this.port = Number(new URL(world.url).port);
  }

  static async start(t: TestContext, folder?: string): Promise<Served> {
    const served = new Served(await startApiWorld(t, ['web'], folder));
    const made = await served.must('CreateSecurityGroup', {
      GroupName: 'web',
      GroupDescription: 'd',
    });
    served.groupId = /<groupId>(.*?)</.exec(made)![1];
    await served.must('AuthorizeSecurityGroupIngress', served.echo('10.9.0.0/24'));
    await served.attach(WEB, served.world.netns.web.path);
    await served.obeys();
    return served;
  }

  call(action: string, parameters: Parameters = {}): Promise<Got> {
    const body = new URLSearchParams({ Action: action, Version: '2016-11-15', ...parameters });
    return send(this.port, this.world.key, { body: body.toString() });
  }

  async must(action: string, parameters: Parameters): Promise<string> {
    const { status, body } = await this.call(action, parameters);
    assert.equal(status, 200, body);
    return body;
  }

  echo(cidr: string): Parameters {
    return {
      GroupId: this.groupId,
      'IpPermissions.1.IpProtocol': 'icmp',
      'IpPermissions.1.FromPort': '8',
      'IpPermissions.1.ToPort': '-1',
      'IpPermissions.1.IpRanges.1.CidrIp': cidr,
    };
  }

  async attach(address: string, netns: string): Promise<string> {
    return this.must('CreateNetworkInterface', await this.card(address, netns));
  }

  /** An interface that is attached by its tags. */
  async card(address: string, netns: string, device = 'eth0'): Promise<Parameters> {
    const subnets = await this.must('DescribeSubnets', {
      'Filter.1.Name': 'availability-zone',
      'Filter.1.Value.1': 'us-east-1a',
    });
    const tags = { host: 'here', device, netns };
    return {
      SubnetId: /<subnetId>(.*?)</.exec(subnets)![1],
      PrivateIpAddress: address,
      'SecurityGroupId.1': this.groupId,
      'TagSpecification.1.ResourceType': 'network-interface',
      ...Object.fromEntries(
        Object.entries(tags).flatMap(([key, value], i) => [
          [`TagSpecification.1.Tag.${i + 1}.Key`, `secgroupd:${key}`],
          [`TagSpecification.1.Tag.${i + 1}.Value`, value],
        ]),
      ),
    };
  }

  /** The blocks that may ping, as the API has it. */
  async blocks(): Promise<readonly string[]> {
    const filter = { 'Filter.1.Name': 'group-id', 'Filter.1.Value.1': this.groupId };
    const body = await this.must('DescribeSecurityGroupRules', filter);
    return [...body.matchAll(/<ipProtocol>icmp<.*?<cidrIpv4>(.*?)</gs)]
      .map(([, block]) => block)
      .sort();
  }

  /** Packets pass as the rule says that was in force first. */
  async obeys(): Promise<void> {
    const { daemon, netns } = this.world;
    assert.equal((await ping(netns.out, WEB)).code, 0, daemon.output);
  }
}

/** Fills a file system. @returns what makes room again */
function fill(folder: string): () => void {
  const file = join(folder, 'filler');
  const fd = openSync(file, 'w');
  try {
    for (let bytes = CHUNK.length; bytes >= 1; bytes >>= 4)
      for (;;) {
        try {
          writeSync(fd, CHUNK, 0, bytes);
        } catch (error) {
          assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
          break;
        }
      }
  } finally {
    closeSync(fd);
  }
  return () => rmSync(file);
}

test('a full disk refuses changes, loses nothing, and calls go on when there is room', async (t) => {
  if (!canRun(t) || !requireFileStore(t) || !requireTools(t, 'mount', 'umount')) return;
  const folder = mkdtempSync(join(tmpdir(), 'sgt-full-'));
  const mounted = await run('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', folder]);
  t.after(async () => {
    if (mounted.code === 0) await mustRun('umount', ['-l', folder]);
    rmSync(folder, { recursive: true });
  });
  if (mounted.code !== 0) return t.skip(`needs to mount a tmpfs (${mounted.stderr.trim()})`);
  const served = await Served.start(t, folder);
  const makeRoom = fill(folder);
  const kept = [...(await served.blocks())];
  let refused: Got | undefined;
  let last = '';
  for (let i = 0; refused === undefined; i++) {
    assert.ok(i < CALLS_MAX, 'the disk is full');
    last = `10.${i}.0.0/16`;
    const got = await served.call('AuthorizeSecurityGroupIngress', served.echo(last));
    if (got.status === 200) kept.push(last);
    else refused = got;
  }
  assert.deepEqual([refused.status, refused.code], [503, 'ServiceUnavailable']);
  assert.match(refused.message!, /^The store has no room\. Nothing was changed\./);
  assert.deepEqual(await served.blocks(), [...kept].sort());
  await served.obeys();
  makeRoom();
  await served.must('AuthorizeSecurityGroupIngress', served.echo(last));
  await served.must('RevokeSecurityGroupIngress', served.echo('10.9.0.0/24'));
  await pingInVain(served.world.netns.out, WEB);
});

test('a store that is taken away, then damaged, is told to callers; packets obey what was in force', async (t) => {
  if (!canRun(t) || !requireFileStore(t)) return;
  const served = await Served.start(t);
  const { daemon, server, store } = served.world;
  renameSync(store, `${store}.away`);
  const gone = await served.call('AuthorizeSecurityGroupIngress', served.echo('10.1.0.0/16'));
  assert.deepEqual([gone.status, gone.code], [503, 'ServiceUnavailable']);
  assert.match(gone.message!, /^The store failed\. Nothing was changed\./);
  await server.waitFor(/the file was removed or replaced while it was open/);
  await served.obeys();
  renameSync(`${store}.away`, store);
  await served.must('AuthorizeSecurityGroupIngress', served.echo('10.2.0.0/16'));
  assert.deepEqual(await served.blocks(), ['10.2.0.0/16', '10.9.0.0/24']);

  const other = Sqlite.open(store, 'rw');
  other.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  other.close();
  const { size } = statSync(store);
  const fd = openSync(store, 'r+');
  writeSync(fd, Buffer.alloc(size - PAGE_BYTES, 0xff), 0, size - PAGE_BYTES, PAGE_BYTES);
  closeSync(fd);
  const damaged = await served.call('AuthorizeSecurityGroupIngress', served.echo('10.3.0.0/16'));
  assert.deepEqual([damaged.status, damaged.code], [503, 'ServiceUnavailable']);
  assert.match(damaged.message!, /^The store failed\. /);
  await server.waitFor(/look with 'secgroupd store check'/);
  const unread = await served.call('DescribeSecurityGroups');
  assert.deepEqual(
    [unread.status, unread.code],
    [503, 'ServiceUnavailable'],
    'it may be out of date',
  );
  await served.obeys();
  assert.equal(await daemon.stop(), 0, daemon.output);
});

test('a daemon does not start on a store of a newer version, and says so', async (t) => {
  if (!canRun(t)) return;
  const folder = makeFolder(t);
  const store = join(folder, 'store.db');
  await (await openSqliteStore(store)).close();
  const sqlite = Sqlite.open(store, 'rw');
  sqlite.exec('PRAGMA user_version = 2');
  sqlite.close();
  const file = temporaryFile(t, 'c.yaml', 'securityGroups: { web: {} }\n');
  const { code, log } = await Daemon.startAndEnd(t, file, ['--store', store, '--host', 'here']);
  assert.equal(code, 1, log);
  assert.match(log, /it has format 2, and this version knows 1 alone/);
});

test('what a daemon can not put in force is taken back, each call for itself', async (t) => {
  if (!canRun(t) || !requireTools(t, 'prlimit')) return;
  const served = await Served.start(t);
  const { daemon, netns } = served.world;
  const wrong = await served.card('172.31.0.110', '/nowhere/at/all');
  const cards = await Promise.all(
    [1, 2, 3, 4].map((n) => served.card(`172.31.0.12${n}`, netns.web.path, `more${n}`)),
  );
  const [bad, ...good] = await Promise.all(
    [wrong, ...cards].map((card) => served.call('CreateNetworkInterface', card)),
  );
  assert.deepEqual([bad.status, bad.code], [400, 'IncorrectState']);
  assert.match(
    bad.message!,
    /^eni-[0-9a-f]{17} is not in force on here: .*\/nowhere\/at\/all.*\. The change was taken back\.$/,
  );
  assert.deepEqual(
    good.map(({ code }) => code ?? 'ok'),
    ['ok', 'ok', 'ok', 'ok'],
    daemon.output,
  );

  // No descriptor is left for a device, until there is again: the daemon refuses the revision as a whole.
  const prlimit = ['--pid', String(daemon.pid)];
  const shown = ['--nofile', '--output=SOFT', '--noheadings', '--raw'];
  const before = (await mustRun('prlimit', [...prlimit, ...shown])).trim();
  await mustRun('prlimit', [...prlimit, '--nofile=8:']);
  const late = await served.card('172.31.0.130', netns.web.path, 'late');
  const refused = await served.call('CreateNetworkInterface', late);
  assert.deepEqual([refused.status, refused.code], [503, 'ServiceUnavailable']);
  assert.match(
    refused.message!,
    /^here could not put it in force: .*EMFILE.*\. The change was taken back\.$/,
  );
  await served.obeys();
  await mustRun('prlimit', [...prlimit, `--nofile=${before}:`]);
  await served.must('CreateNetworkInterface', late);
  await netns.web.mustRun('ip', ['link', 'show', 'late']);
  await served.obeys();
});
