/**
 * Says what each interface needs: for each conversation that rules are proposed for, one gate at each end that is an
 * interface.
 */
import type { Family } from '../addr/address.ts';
import type { Direction } from '../policy/model.ts';
import type { Edge } from './classes.ts';
import { addressKey, type Conversation, type Words } from './conversation.ts';
import type { PortRange, PortRanges } from './dynamic-ports.ts';
import type { Owners } from './owners.ts';

/** A service that somebody says everybody may ask for, or that may be asked for everywhere. */
export interface OpenService {
  readonly direction: Direction;
  readonly protocol: number;
  readonly service: number;
}

export interface Need extends Edge {
  readonly owner: number;
  readonly protocol: number;
  readonly number: number;
  readonly family: Family;
  /** The address at the other end. */
  readonly remote: Words;
  readonly conversation: Conversation;
  /** The ports that the rule is for; absent: the service alone. */
  readonly range?: PortRange;
}

export function needsOf(
  kept: readonly Conversation[],
  owners: Owners,
  open: readonly OpenService[],
  ranges: PortRanges,
): readonly Need[] {
  const isOpen = new Set(open.map((one) => openKey(one)));
  const needs: Need[] = [];
  for (const conversation of kept) {
    const { family, protocol, service: number, opener, target } = conversation;
    const range = ranges.get(conversation);
    const ports = range === undefined ? number : `${range.fromPort}-${range.toPort}`;
    const service = `${protocol} ${ports}`;
    const [asker, asked] = [owners.of(opener), owners.of(target)];
    const add = (owner: number, other: number, direction: Direction, remote: Words): void => {
      if (owner < 0) return;
      // Groups of another VPC can't be named.
      const isNear = other >= 0 && owners.all[owner].vpc?.id === owners.all[other].vpc?.id;
      const peer = isNear ? other : -1;
      const isForAll = peer < 0 && isOpen.has(openKey({ direction, protocol, service: number }));
      const address = peer >= 0 || isForAll ? '' : addressKey(remote);
      needs.push({
        ...{ owner, direction, service, peer, address, protocol, number, family, remote },
        ...{ conversation, ...(range === undefined ? {} : { range }) },
      });
    };
    add(asked, asker, 'ingress', opener);
    add(asker, asked, 'egress', target);
  }
  return needs;
}

function openKey({ direction, protocol, service }: OpenService): string {
  return `${direction} ${protocol} ${service}`;
}
