/** This file shows one packet that was dropped, with the way to the reason. */
import type { DropExample } from '../../contract.ts';
import { formatClock, formatEnd } from '../logic/format.ts';
import { routeHash } from '../logic/route.ts';
import { shown } from '../logic/shown.ts';
import { Tag } from './verdict.tsx';

/** `10.0.0.1:40000 → 10.0.0.2:443`, in the direction in which it was sent. */
export function packetWords({ packet, neighbour, direction }: DropExample): string {
  if (packet !== undefined) {
    const local = formatEnd(packet.localAddress, packet.localPort);
    const remote = formatEnd(packet.remoteAddress, packet.remotePort);
    return direction === 'ingress' ? `${remote} → ${local}` : `${local} → ${remote}`;
  }
  if (neighbour !== undefined)
    return `${neighbour.protocol} ${neighbour.operation} for ${neighbour.target} by ${neighbour.sender}`;
  return 'could not be decoded';
}

export function DropExampleLine({ example }: { readonly example: DropExample }) {
  const { id, timeMs, packet, reason, meaning, interface: name, direction } = example;
  return (
    <div class="example">
      <div>
        <span class="muted">{formatClock(timeMs)}</span> <Tag text={packet?.protocol ?? 'link'} />{' '}
        <span class="mono">{packetWords(example)}</span>
      </div>
      <div class="muted">
        {direction} of {shown(name)}: <span title={meaning}>{reason}</span>{' '}
        <a href={routeHash('why', { drop: String(id) })}>Why?</a>
      </div>
    </div>
  );
}
