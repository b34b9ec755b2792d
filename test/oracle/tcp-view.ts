/** The TCP connection of a sequence: what state the engine has it in, and van Rooij's bounds from the ledger. */
import {
  LIBERAL,
  OPENED_LOCALLY,
  REPLIED,
  STATE_MASK,
  STATE_NAMES,
} from '../../src/conntrack/states.ts';
import { protocolOf, stateWordOf } from '../../src/conntrack/entry.ts';
import type { FlowTable } from '../../src/conntrack/table.ts';
import type { Rig } from '../engine/rig.ts';
import type { Ledger, SideView } from './ledger.ts';
import { distance, type Segment } from './segment.ts';
import type { Place } from './steps.ts';

const PROTO_TCP = 6;
const ACK_WINDOW_MIN = 66_000;

/** What the engine says of the connection. */
export interface TcpState {
  readonly state: string;
  readonly openedFrom: Place;
  /** The windows of the connection are not judged. */
  readonly liberal: boolean;
  readonly replied: boolean;
}

export interface TcpView extends TcpState {
  /** As the packets that passed say, not the engine. */
  readonly hasEnded: boolean;
  /** Sides that have sent a FIN. */
  readonly finished: number;
  readonly opener: SideView;
  readonly other: SideView;
}

/** The tracked TCP connection; undefined if there is none. A sequence has one pair of ports, so never two. */
export function tcpStateOf(rig: Rig): TcpState | undefined {
  return stateIn(rig.flows4) ?? stateIn(rig.flows6);
}

function stateIn(table: FlowTable): TcpState | undefined {
  for (let entry = 0; entry < table.highWater; entry++) {
    const word = stateWordOf(table, entry);
    if (word === 0 || protocolOf(table, entry) !== PROTO_TCP) continue;
    return {
      state: STATE_NAMES[word & STATE_MASK],
      openedFrom: (word & OPENED_LOCALLY) !== 0 ? 'in' : 'out',
      liberal: (word & LIBERAL) !== 0,
      replied: (word & REPLIED) !== 0,
    };
  }
  return undefined;
}

export function viewTcp(state: TcpState | undefined, ledger: Ledger): TcpView | undefined {
  if (state === undefined) return undefined;
  return {
    ...state,
    hasEnded: ledger.hasEnded,
    finished: ledger.finished.size,
    opener: ledger.view(state.openedFrom),
    other: ledger.view(state.openedFrom === 'in' ? 'out' : 'in'),
  };
}

export type Bound =
  /** I: starts beyond the room the receiver has offered. */
  | 'beyond'
  /** II: ends a window behind what the sender has sent. */
  | 'behind'
  /** III: acknowledges what was not sent. */
  | 'ack-beyond'
  /** IV: acknowledges what was acknowledged long ago. */
  | 'ack-behind';

/** The bounds that the packet is outside of, in their order. */
export function brokenBounds(view: TcpView, from: Place, segment: Segment): Bound[] {
  const isOpener = from === view.openedFrom;
  const sender = isOpener ? view.opener : view.other;
  const receiver = isOpener ? view.other : view.opener;
  const ackWindow = Math.max(sender.maxWindow, ACK_WINDOW_MIN);
  // An RST may set 0 where it has nothing to acknowledge.
  const isReset = segment.flags.includes('R');
  const hasAck = segment.flags.includes('A') && !(isReset && segment.ack === 0);
  const broken: [Bound, boolean][] = [
    ['beyond', distance(segment.seq, sender.end) > distance(sender.maxEnd, sender.end)],
    ['behind', distance(segment.end, sender.end) + receiver.maxWindow < 0],
    ['ack-beyond', hasAck && distance(segment.ack, receiver.end) > 0],
    ['ack-behind', hasAck && distance(segment.ack, receiver.end) + ackWindow < 0],
  ];
  return broken.filter(([, isBroken]) => isBroken).map(([bound]) => bound);
}
