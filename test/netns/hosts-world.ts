/**
 * Hosts that share a store in etcd, to try real daemons on: one cluster, a client that makes changes as a server of the
 * API does, and a daemon for each host. The network between the uplinks is the test's.
 */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Edit } from '../../src/estate/edit.ts';
import { EstateClient, type Changed } from '../../src/estate/estate-client.ts';
import { addDefaultGroup, createEstateGroup } from '../../src/estate/groups.ts';
import type { Checked } from '../../src/policy/refusals.ts';
import { openStore } from '../../src/store/open-store.ts';
import { writeAttached } from '../estate/write-interface.ts';
import { context, DEFAULT_VPC, take } from '../estate/world.ts';
import { makeFolder } from '../store/folder.ts';
import { Etcd, type EtcdOptions } from '../support/etcd.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import type { Netns } from '../support/netns.ts';
import { Daemon } from './world.ts';

/** An interface of a host. */
export interface Placed {
  readonly id: string;
  readonly host: string;
  readonly address: string;
}

/** Where a host's uplink is. */
export interface Uplink {
  readonly netns: Netns;
  /** With its prefix length. */
  readonly address: string;
}

export class Hosts {
  readonly etcd: Etcd;
  readonly client: EstateClient;
  readonly folder: string;
  /** The daemons' configuration files, by their host. */
  readonly files = new Map<string, string>();
  /** What their files say beside the uplink, by their host. */
  readonly declared = new Map<string, string>();
  private readonly t: TestContext;
  private readonly uplinks: Readonly<Record<string, Uplink>>;

  private constructor(
    t: TestContext,
    etcd: Etcd,
    client: EstateClient,
    uplinks: Readonly<Record<string, Uplink>>,
  ) {
    this.t = t;
    this.etcd = etcd;
    this.client = client;
    this.folder = makeFolder(t);
    this.uplinks = uplinks;
  }

  /**
   * Starts etcd, and makes the default VPC.
   * @param uplinks by the name of their host
   * @param storeOf how the client reaches etcd; default: by its own addresses
   */
  static async make(
    t: TestContext,
    uplinks: Readonly<Record<string, Uplink>>,
    options: EtcdOptions = {},
    storeOf: (etcd: Etcd) => Promise<string> = (etcd) => Promise.resolve(`etcd://${etcd.hosts}`),
  ): Promise<Hosts> {
    const etcd = await Etcd.forTest(t, options);
    const client = await EstateClient.open({
      store: await openStore(await storeOf(etcd), () => undefined),
      onTrouble: () => undefined,
    });
    t.after(() => client.close());
    const hosts = new Hosts(t, etcd, client, uplinks);
    await hosts.change((edit) => {
      edit.write('vpcs', DEFAULT_VPC.id, DEFAULT_VPC);
      return { ok: true, value: addDefaultGroup(edit, DEFAULT_VPC, context) };
    });
    return hosts;
  }

  /** Makes a change, and waits until each host that runs has it in force. */
  async change<T>(work: (edit: Edit) => Checked<T>): Promise<T> {
    const { value, revision } = await this.commit(work);
    assert.equal((await this.client.enforce(revision, GUARD_MS)).kind, 'inForce');
    return value;
  }

  /** Waits until the store knows that these hosts live: a change waits for them from then on. */
  async known(...names: readonly string[]): Promise<void> {
    const { estate } = this.client;
    const isKnown = (): boolean =>
      names.every((name) => estate.alive().has(name) && estate.applied().has(name));
    assert.ok(await this.client.until(isKnown, GUARD_MS), `not known: ${names.join(', ')}`);
  }

  /** Makes a change, and waits for nobody. */
  async commit<T>(work: (edit: Edit) => Checked<T>): Promise<Changed<T>> {
    return take(await this.client.change(work));
  }

  /** Makes groups. @returns their ids, by their names */
  makeGroups<Name extends string>(names: readonly Name[]): Promise<Record<Name, string>> {
    return this.change((edit) => {
      const made = names.map((name) => {
        const wish = { vpcId: DEFAULT_VPC.id, name, description: 'd', tags: [] };
        return [name, take(createEstateGroup(edit, wish, context)).group.id] as const;
      });
      return { ok: true, value: Object.fromEntries(made) as Record<Name, string> };
    });
  }

  /** Moves an interface to another group. */
  move({ id }: Placed, groupId: string): (edit: Edit) => Checked<undefined> {
    return (edit) => {
      const value = edit.read('interfaces', id)!;
      edit.write('interfaces', id, { ...value, groupIds: [groupId] });
      return { ok: true, value: undefined };
    };
  }

  control(host: string): string {
    return join(this.folder, `${host}.sock`);
  }

  /** Starts the daemon of a host, and waits until packets flow. @param store in place of etcd's own addresses */
  start(
    host: string,
    store = `etcd://${this.etcd.hosts}`,
    options: readonly string[] = [],
  ): Promise<Daemon> {
    const [file, state] = [join(this.folder, `${host}.yaml`), join(this.folder, `state-${host}`)];
    mkdirSync(state, { recursive: true });
    const { netns, address } = this.uplinks[host];
    const uplink = `uplink: { tun: up-${host}, netns: ${netns.path}, addresses: [${address}] }\n`;
    writeFileSync(file, `${uplink}metrics: { listen: 0 }\n${this.declared.get(host) ?? ''}`);
    this.files.set(host, file);
    const more = ['--host', host, '--state-dir', state, '--control', this.control(host)];
    return Daemon.start(this.t, file, ['--store', store, ...more, ...options]);
  }
}

/** Attaches an interface to a TUN device that its host makes in a namespace. */
export function place(edit: Edit, { id, host, address }: Placed, groupId: string, at: Netns): void {
  writeAttached(edit, id, {
    ...{ device: 'eth0', host, address, groupIds: [groupId], netns: at.path, configure: true },
  });
}
