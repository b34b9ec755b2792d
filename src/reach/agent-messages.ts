/** The messages between sgctl and its agents in the namespaces, over Node's IPC channel. */
import type { Family } from '../addr/address.ts';

/** A server to offer. It answers with the agent's name. */
export interface Offer {
  readonly kind: 'tcp' | 'http' | 'udp';
  readonly family: Family;
  readonly address: string;
  readonly port: number;
}

/** One attempt to reach an address. */
export interface Probe {
  readonly kind: 'tcp' | 'udp' | 'ping';
  readonly family: Family;
  /** The address to send from. Absent: the kernel chooses one. */
  readonly source?: string;
  readonly address: string;
  /** Unused by a ping. */
  readonly port: number;
  /** How long a silence must last to count. */
  readonly timeoutMs: number;
}

/**
 * What a probe saw. `yes`: an answer; `detail` is the name in it (empty for a ping). `no`: silence. `error`:
 * something else, as a refusal; `detail` describes it, and `code` is the system's name for it, if there is one.
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
