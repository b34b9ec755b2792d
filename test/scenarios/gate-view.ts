/** What the gates of an engine know of a flow: read from the flow tables, where the control plane reads it too. */
import { STATE_NAMES } from '../../src/conntrack/states.ts';
import { type FlowIndex, isUsed, portOf, stateOf } from '../../src/conntrack/entry.ts';
import type { FlowTable } from '../../src/conntrack/table.ts';
import type { Rig } from '../engine/rig.ts';
import { addressBytes } from '../packets/build.ts';
import type { FlowName } from './packet-words.ts';

/** `none`: no flow. */
export const NO_STATE = 'none';

/** Whether a state of that name can be expected. */
export function isStateName(name: string): boolean {
  return name === NO_STATE || STATE_NAMES.indexOf(name) > 0;
}

/** Frees what is past its time-out, as the daemon does a piece at a time in every tick. */
export function sweepAll(rig: Rig, nowMs: number): void {
  const entries = Math.max(rig.flows4.highWater, rig.flows6.highWater);
  rig.engine.gates.tracker.sweep(entries, nowMs);
}

/** How many flows the gate at a port knows. */
export function countFlows(rig: Rig, port: number): number {
  return entriesOf(rig.flows4, port).length + entriesOf(rig.flows6, port).length;
}

/**
 * State of a flow at the gate of a port.
 * @param isSource whether the packet's source is the local side there
 */
export function stateAt(rig: Rig, port: number, flow: FlowName, isSource: boolean): string {
  const table = flow.src.includes(':') ? rig.flows6 : rig.flows4;
  const key = keyOf(port, flow, isSource);
  const found = entriesOf(table, port).find((entry) =>
    key.every((word, i) => table.words[entry * table.stride + i] === word),
  );
  return found === undefined ? NO_STATE : STATE_NAMES[stateOf(table, found)];
}

/** The words in front of a flow's entry (conntrack/table.ts): interface, role and protocol; ports; addresses. */
export function keyOf(port: number, flow: FlowName, isSource: boolean): number[] {
  const [local, remote] = isSource ? [flow.src, flow.dst] : [flow.dst, flow.src];
  const ports = isSource ? [flow.srcPort, flow.dstPort] : [flow.dstPort, flow.srcPort];
  const asksFromLocal = flow.query !== undefined && (flow.query === 'asks') === isSource;
  const meta = (port << 16) | (asksFromLocal ? 1 << 8 : 0) | flow.protocol;
  return [meta, (ports[0] << 16) | ports[1], ...wordsOf(local), ...wordsOf(remote)].map(
    (word) => word | 0,
  );
}

function wordsOf(address: string): number[] {
  const bytes = addressBytes(address);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.length / 4 }, (_, i) => view.getInt32(4 * i));
}

/** The entries of a port that are in use. */
function entriesOf(table: FlowTable, port: number): FlowIndex[] {
  const found: FlowIndex[] = [];
  for (let flow = 0; flow < table.highWater; flow++)
    if (isUsed(table, flow) && portOf(table, flow) === port) found.push(flow);
  return found;
}
