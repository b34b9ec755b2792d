/** What the tests of stores in etcd share. */
import assert from 'node:assert/strict';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { openEtcdStore } from '../../src/store/etcd/etcd-store.ts';
import { parsePlace, type EtcdPlace } from '../../src/store/place.ts';
import { StoreError, type Change, type Store, type StoreFault } from '../../src/store/store.ts';

/** Opens a store that is closed with the test. @param said takes what a log would tell */
export async function openAt(t: TestContext, url: string, said: string[] = []): Promise<Store> {
  const store = await openEtcdStore(parsePlace(url) as EtcdPlace, (message) => said.push(message));
  t.after(() => store.close());
  return store;
}

/** For assert.rejects. */
export function isFault(fault: StoreFault, message: RegExp, committed: 'no' | 'unknown' = 'no') {
  return (error: unknown): boolean => {
    assert.ok(error instanceof StoreError, String(error));
    assert.match(error.message, message);
    assert.deepEqual([error.fault, error.committed], [fault, committed]);
    return true;
  };
}

/** Watches in the background. */
export class Follower {
  readonly seen: Change[] = [];
  readonly ended: Promise<void>;
  private readonly ending = new AbortController();
  private wake = (): void => undefined;

  constructor(t: TestContext, store: Store, after: number, prefix = '') {
    this.ended = (async () => {
      for await (const change of store.watch(prefix, after, this.ending.signal)) {
        this.seen.push(change);
        this.wake();
      }
    })();
    this.ended.catch(() => undefined);
    t.after(() => this.ending.abort());
  }

  /** Waits until it has seen a revision. */
  async reach(revision: number): Promise<void> {
    while ((this.seen.at(-1)?.revision ?? 0) < revision)
      await Promise.race([new Promise<void>((resolve) => (this.wake = resolve)), this.ended]);
  }
}

/** Is between a client and a member, and can stop to pass anything on without a word, as a lost host does. */
export class Wire {
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();
  private readonly frozen = new WeakSet<Socket>();
  private isDead = false;
  private isCut = false;

  private constructor(server: Server) {
    this.server = server;
  }

  static async to(t: TestContext, endpoint: string): Promise<Wire> {
    const [host, port] = endpoint.split(':');
    const server = createServer();
    const wire = new Wire(server);
    server.on('connection', (near) => {
      if (wire.isCut) {
        near.on('error', () => undefined).destroy();
        return;
      }
      const far = connect(Number(port), host);
      for (const [from, to] of [
        [near, far],
        [far, near],
      ]) {
        wire.sockets.add(from);
        from.on('data', (data) => {
          if (!wire.isDead && !wire.frozen.has(near)) to.write(data);
        });
        from.on('error', () => undefined);
        from.on('close', () => {
          wire.sockets.delete(from);
          if (!wire.frozen.has(near)) to.destroy();
        });
      }
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => wire.close());
    return wire;
  }

  get endpoint(): string {
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Ends all connections, and each that comes, until `heal`. */
  cut(): void {
    this.isCut = true;
    for (const socket of this.sockets) socket.destroy();
  }

  heal(): void {
    this.isCut = false;
  }

  /** Passes nothing on any more, but on connections that come later. */
  freeze(): void {
    for (const socket of this.sockets) this.frozen.add(socket);
  }

  /** The same, and for later ones too. */
  die(): void {
    this.isDead = true;
    this.freeze();
  }

  /** After `die`: passes on what comes on later connections. */
  revive(): void {
    this.isDead = false;
  }

  private close(): void {
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
  }
}
