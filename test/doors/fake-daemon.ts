/** A daemon that only remembers interfaces, and has one that a call of the EC2 API made: enough to see what a door asks, and what it makes of each answer. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { listenForControl, type ControlHandlers } from '../../src/control-socket/control-server.ts';
import { macAddressText } from '../../src/config/device-specs.ts';
import type { InterfaceView } from '../../src/queries/interfaces-view.ts';
import type { InterfaceQuestion, OwnedInterfaceView } from '../../src/queries/owned-interfaces.ts';
import { attachmentId } from '../../src/policy/ids.ts';
import { RequestError } from '../../src/queries/traffic-filter.ts';

/** Of the interface that a call made, which has these addresses. */
export const ENI = 'eni-0123456789abcdef0';
export const ENI_ADDRESSES = ['10.77.0.40', 'fd00:77::40'];

export interface FakeDaemon {
  readonly socket: string;
  /** What was asked, `list`s aside. */
  readonly asked: string[];
  readonly there: Map<string, OwnedInterfaceView>;
  /** What each `addInterface` and `attachInterface` is refused with. */
  refusal: string | undefined;
  /** What `interfaces` answers. */
  views: readonly Partial<InterfaceView>[];
  stop(): Promise<void>;
}

export async function fakeDaemon(t: TestContext): Promise<FakeDaemon> {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-door-'));
  const socket = join(folder, 'control.sock');
  const there = new Map<string, OwnedInterfaceView>();
  const asked: string[] = [];
  const methods: ControlHandlers['methods'] = {
    addInterface: (question) => {
      asked.push(`add ${question.id}`);
      if (daemon.refusal !== undefined) return Promise.reject(new RequestError(daemon.refusal));
      const view = viewOf(question);
      there.set(question.id, view);
      return Promise.resolve(view);
    },
    removeInterface: ({ id }) => {
      asked.push(`remove ${id}`);
      return Promise.resolve({ removed: there.delete(id) });
    },
    attachInterface: (question) => {
      const { id, attachment, addresses = ENI_ADDRESSES } = question;
      asked.push(`attach ${id} ${attachment}`);
      const refusal = daemon.refusal ?? (id === ENI ? undefined : `'${id}' does not exist`);
      if (refusal !== undefined) return Promise.reject(new RequestError(refusal));
      const view = viewOf({ ...question, addresses, securityGroups: ['web'] }, attachment);
      there.set(id, view);
      return Promise.resolve(view);
    },
    detachInterface: ({ attachment }) => {
      asked.push(`detach ${attachment}`);
      const found = [...there.values()].find((one) => one.attachment === attachment);
      return Promise.resolve({ detached: found !== undefined && there.delete(found.id) });
    },
    listInterfaces: ({ owner }) =>
      Promise.resolve([...there.values()].filter((one) => one.owner === owner)),
    reconcileInterfaces: ({ owner, keep }) => {
      const gone = [...there.values()].filter(
        (one) => one.owner === owner && !keep.includes(one.attachment ?? attachmentId(one.id)),
      );
      for (const { id } of gone) there.delete(id);
      return Promise.resolve({ removed: gone.map(({ id }) => id) });
    },
    interfaces: () => Promise.resolve(daemon.views as readonly InterfaceView[]),
  };
  const server = await listenForControl(socket, { methods, streams: {} });
  const stop = () => new Promise<void>((resolve) => void server.close(() => resolve()));
  t.after(async () => {
    await stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const daemon: FakeDaemon = { socket, asked, there, refusal: undefined, views: [], stop };
  return daemon;
}

function viewOf(
  { device = {}, securityGroups, tags = {}, ...question }: InterfaceQuestion,
  attachment?: string,
): OwnedInterfaceView {
  const { kind = 'tun', name = 'eth0', mtu = 1500, configure = false, persist = false } = device;
  const { netns } = device;
  return {
    ...question,
    ...(attachment === undefined ? {} : { attachment }),
    tags,
    device: { kind, name, mtu, configure, persist, ...(netns === undefined ? {} : { netns }) },
    securityGroups: securityGroups.map((group) => ({ id: 'sg-0', name: group })),
    macAddress: macAddressText(question.id),
  };
}
