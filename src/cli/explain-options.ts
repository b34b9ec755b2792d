/** The options of `sgctl explain`. */
import type { DropId } from './explain-drop.ts';
import type { SocketOptions } from './socket.ts';

/** Options as they were given. */
export interface ExplainOptions extends SocketOptions {
  readonly from?: string;
  readonly to?: string;
  readonly tcp?: string;
  readonly udp?: string;
  readonly icmp?: string;
  readonly icmpv6?: string;
  readonly protocol?: string;
  readonly sourcePort?: string;
  readonly family?: '4' | '6';
  readonly json?: boolean;
  readonly live?: boolean;
  readonly drop?: DropId;
}
