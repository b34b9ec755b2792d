/** These are the columns of flows that both tables of flows have. */
import type { FlowView } from '../../../contract.ts';
import { formatBytes, formatDuration, formatEnd } from '../../logic/format.ts';
import { shown } from '../../logic/shown.ts';
import type { TableColumn } from '../../parts/data-table.tsx';
import { ruleLine } from '../../parts/rule-text.tsx';

type Column = TableColumn<FlowView>;

export const INTERFACE: Column = {
  name: 'interface',
  title: 'Interface',
  isHeading: true,
  value: (flow) => shown(flow.interface),
};
export const PROTOCOL: Column = {
  name: 'protocol',
  title: 'Protocol',
  value: ({ protocol }) => protocol,
};
export const LOCAL: Column = {
  name: 'local',
  title: 'Local',
  value: ({ localAddress, localPort }) => formatEnd(localAddress, localPort),
};
export const DIRECTION: Column = {
  name: 'opened',
  title: 'Opened',
  value: ({ openedBy }) => (openedBy === 'instance' ? '→ by it' : '← from there'),
};
export const REMOTE: Column = {
  name: 'remote',
  title: 'Remote',
  value: ({ remoteAddress, remotePort }) => formatEnd(remoteAddress, remotePort),
};
export const STATE: Column = { name: 'state', title: 'State', value: ({ state }) => state };
export const BYTES: Column = {
  name: 'bytes',
  title: 'Carried',
  isNumber: true,
  value: carried,
  cell: (flow) => (flow.bytesIn === undefined ? '–' : formatBytes(carried(flow))),
};
export const IDLE: Column = {
  name: 'idle',
  title: 'Idle',
  isNumber: true,
  value: ({ idleMs }) => idleMs,
  cell: ({ idleMs }) => formatDuration(idleMs),
};
export const RULE: Column = { name: 'rule', title: 'Rule', value: ({ rule }) => ruleLine(rule) };

function carried({ bytesIn = 0, bytesOut = 0 }: FlowView): number {
  return bytesIn + bytesOut;
}

/** Tells a flow from all others. */
export function flowKey(flow: FlowView): string {
  const { interface: name, protocol, localAddress, localPort, remoteAddress, remotePort } = flow;
  return [name, protocol, localAddress, localPort, remoteAddress, remotePort].join(' ');
}

/** What the filter box searches. */
export function flowTexts(flow: FlowView): string[] {
  return [
    shown(flow.interface),
    flow.protocol,
    formatEnd(flow.localAddress, flow.localPort),
    formatEnd(flow.remoteAddress, flow.remotePort),
    flow.state,
    ruleLine(flow.rule),
  ];
}
