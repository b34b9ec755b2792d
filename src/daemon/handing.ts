/**
 * Handing is what a change of the configuration does to the tracked flows of interfaces that go to another host or come
 * from one: which ports they have here, and what came of them.
 */
import type { Config } from '../config/config.ts';
import type { HandedPorts } from '../dataplane/dataplane.ts';
import type { Handed } from '../dataplane/handed-flows.ts';
import type { Arrived } from '../estate/model.ts';
import type { InterfaceId } from '../policy/model.ts';
import { packHanded, readHanded, type PackedFlows } from '../service/handed-flows.ts';
import { SnapshotRefusal } from '../service/snapshot.ts';
import type { PortPlan } from './port-table.ts';

/** Flows that another host has handed over. */
export interface ArrivingFlows {
  readonly bytes: Buffer;
  /** Since when nobody has had the interface, as far as is known here. */
  readonly elapsedMs: number;
}

export class Handing {
  private readonly leaving: ReadonlySet<InterfaceId>;
  private readonly arriving: ReadonlyMap<InterfaceId, ArrivingFlows>;
  /** The flows of interfaces that are gone. */
  readonly left = new Map<InterfaceId, PackedFlows>();
  readonly arrived = new Map<InterfaceId, Arrived>();
  private readonly leavingPorts = new Map<number, InterfaceId>();
  /** By port: how many flows were said to be an interface's. */
  private readonly said = new Map<number, { readonly id: InterfaceId; readonly flows: number }>();

  constructor(
    leaving: ReadonlySet<InterfaceId>,
    arriving: ReadonlyMap<InterfaceId, ArrivingFlows>,
  ) {
    this.leaving = leaving;
    this.arriving = arriving;
  }

  /** What the packet loops are asked for. */
  begin(next: Config, { ports, removed }: PortPlan, timeScale: number): HandedPorts {
    for (const [port, { id }] of removed) if (this.leaving.has(id)) this.leavingPorts.set(port, id);
    const arriving = [...this.arriving].flatMap(([id, { bytes, elapsedMs }]) => {
      const port = ports.get(id);
      const member = next.model.interfaces.get(id);
      if (port === undefined || member === undefined) return [];
      try {
        const whose = { port, addresses: member.addresses, elapsedMs: elapsedMs * timeScale };
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
    for (const [port, id] of this.leavingPorts) this.left.set(id, packHanded(copied, port));
    for (const [port, { id, flows: said }] of this.said) {
      const flows = handed.reduce((sum, { taken }) => sum + (taken.get(port) ?? 0), 0);
      this.arrived.set(id, { flows, refused: said - flows });
    }
  }
}
