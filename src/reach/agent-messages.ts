/** What is said between sgctl and its agents in the namespaces, over Node's IPC channel. */
import type { Family } from '../addr/address.ts';

/** A server to be offered: it answers whoever reaches it with the agent's name. */
export interface Offer {
  readonly kind: 'tcp' | 'http' | 'udp';
  readonly family: Family;
  readonly address: string;
  readonly port: number;
}

/** One try to reach an address. */
export interface Probe {
  readonly kind: 'tcp' | 'udp' | 'ping';
  readonly family: Family;
  /** What to send from; absent: what the kernel chooses. */
  readonly source?: string;
  readonly address: string;
  /** Nothing to a ping. */
  readonly port: number;
  /** How long a silence must last to count. */
  readonly timeoutMs: number;
}

/**
 * `yes`: it answered; `detail` is the name it gave (none for a ping). `no`: silence. `error`: something
 * else, as a refusal; `detail` says what, and `code` how the system calls it, if it has a name for it.
 */
export interface Seen {
  readonly seen: 'yes' | 'no' | 'error';
  readonly detail: string;
  readonly code?: string;
}

export type Request =
  | ({ readonly id: number; readonly do: 'offer' } & Offer)
  | ({ readonly id: number; readonly do: 'probe' } & Probe);

export type Reply =
  { readonly kind: 'started' } | ({ readonly kind: 'seen'; readonly id: number } & Seen);
