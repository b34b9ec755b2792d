/**
 * Handing is what a change of the configuration does to the tracked flows of interfaces that go to another host or come
 * from one: which ports they have here, and what came of them.
 */
import type { Config } from '../config/config.ts';
import type { HandedPorts } from '../dataplane/dataplane.ts';
import type { Handed } from '../dataplane/handed-flows.ts';
import type { Arrived } from '../estate/model.ts';
import type { FlowRecord } from '../conntrack/flow-record.ts';
import type { InterfaceId, PolicyModel } from '../policy/model.ts';
import type { ReleasedAddresses } from '../policy/released-addresses.ts';
import { packHanded, readHanded, type PackedFlows } from '../service/handed-flows.ts';
import { SnapshotRefusal } from '../service/snapshot.ts';
import type { PortPlan } from './port-table.ts';

/** Flows that another host has handed over. */
export interface ArrivingFlows {
  readonly bytes: Buffer;
  /** Since when nobody has had the interface, as far as is known here. */
  readonly elapsedMs: number;
  /** Addresses that were released after they were packed. */
  readonly released: ReleasedAddresses;
}

export class Handing {
  private readonly leaving: ReadonlySet<InterfaceId>;
  private readonly arriving: ReadonlyMap<InterfaceId, ArrivingFlows>;
  private readonly released: ReleasedAddresses;
  /** The flows of interfaces that are gone. */
  readonly left = new Map<InterfaceId, PackedFlows>();
  readonly arrived = new Map<InterfaceId, Arrived>();
  private readonly leavingPorts = new Map<
    number,
    { readonly id: InterfaceId; readonly isReleased: RecordTest }
  >();
  /** By port: how many flows were said to be an interface's. */
  private readonly said = new Map<number, { readonly id: InterfaceId; readonly flows: number }>();

  constructor(
    leaving: ReadonlySet<InterfaceId>,
    arriving: ReadonlyMap<InterfaceId, ArrivingFlows>,
    released: ReleasedAddresses,
  ) {
    this.leaving = leaving;
    this.arriving = arriving;
    this.released = released;
  }

  /** What the packet loops are asked for. @param before the model of the interfaces that go */
  begin(
    before: PolicyModel,
    next: Config,
    { ports, removed }: PortPlan,
    timeScale: number,
  ): HandedPorts {
    for (const [port, { id }] of removed)
      if (this.leaving.has(id))
        this.leavingPorts.set(port, { id, isReleased: recordTest(this.released, before, id) });
    const arriving = [...this.arriving].flatMap(([id, { bytes, elapsedMs, released }]) => {
      const port = ports.get(id);
      const member = next.model.interfaces.get(id);
      if (port === undefined || member === undefined) return [];
      try {
        const isReleased = recordTest(released, next.model, id);
        const { addresses } = member;
        const whose = { port, addresses, elapsedMs: elapsedMs * timeScale, isReleased };
        const { records, refused } = readHanded(bytes, whose);
        this.said.set(port, { id, flows: records.length + refused });
        return records;
      } catch (error) {
        if (!(error instanceof SnapshotRefusal)) throw error;
        this.arrived.set(id, { flows: 0, refused: 0, why: error.message });
        return [];
      }
    });
    return { leaving: new Set(this.leavingPorts.keys()), arriving };
  }

  /** @param handed by packet loop */
  end(handed: readonly Handed[]): void {
    const copied = handed.map(({ left }) => left);
    for (const [port, { id, isReleased }] of this.leavingPorts)
      this.left.set(id, packHanded(copied, port, isReleased));
    for (const [port, { id, flows: said }] of this.said) {
      const flows = handed.reduce((sum, { taken }) => sum + (taken.get(port) ?? 0), 0);
      this.arrived.set(id, { flows, refused: said - flows });
    }
  }
}

type RecordTest = (record: FlowRecord) => boolean;

function recordTest(released: ReleasedAddresses, model: PolicyModel, id: InterfaceId): RecordTest {
  const test = released.testFor(model, id);
  return ({ family, remoteAddress }) => test(family, remoteAddress, 0);
}
