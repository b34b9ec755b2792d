/**
 * A question about one packet, and the answer as plain data: what explain.ts takes and returns.
 *
 * Everything in an answer can be written as JSON. Addresses are text there, since only people and
 * `jq` read them. The question is about the first packet of a new flow: what belongs to a flow that
 * is known already passes by its flow, whatever the rules say.
 */
import type { Address, Family } from '../addr/address.ts';
import type { Direction, GroupId, InterfaceId, Origin, PolicyModel, RuleId } from './model.ts';
import type { SpecialAddresses } from './special-addresses.ts';

/** What the gates decide by, and what is around them. */
export interface Network {
  readonly model: PolicyModel;
  /** The platform's addresses and what egress gates never filter, and the uplink's own. */
  readonly special: SpecialAddresses;
  /** Whether there is a way out, and in, for what no interface here has. */
  readonly hasUplink: boolean;
}

/** One end of the question. A bare address as the source sends from outside, through the uplink. */
export type Endpoint =
  | {
      readonly kind: 'interface';
      readonly interfaceId: InterfaceId;
      /** One of the interface's; without it the first of each family is taken. */
      readonly address?: Address;
    }
  | { readonly kind: 'address'; readonly address: Address };

/** What is sent. Ports are 0–65535, types and codes 0–255, `protocol` is none of the others' numbers. */
export type Service =
  | {
      readonly kind: 'ports';
      readonly protocol: 6 | 17;
      readonly port: number;
      readonly sourcePort?: number;
    }
  | {
      readonly kind: 'icmp';
      readonly protocol: 1 | 58;
      readonly type: number;
      readonly code: number;
    }
  | { readonly kind: 'protocol'; readonly protocol: number };

export interface Question {
  readonly from: Endpoint;
  readonly to: Endpoint;
  readonly service: Service;
  /** Ask about this family alone. */
  readonly family?: Family;
}

/** The names of engine/reasons.ts that an answer can have; a test holds the two together. */
export const EXPLAINED_REASONS = [
  'passed',
  'link-scope',
  'martian',
  'source-check',
  'uplink-spoof',
  'no-route',
  'egress-rules',
  'ingress-rules',
] as const;
export type ReasonName = (typeof EXPLAINED_REASONS)[number];

export type Verdict = 'allowed' | 'refused';

export interface GroupRef {
  readonly id: GroupId;
  /** `VPC/NAME` where there are several VPCs. */
  readonly name: string;
}

export interface RuleRef {
  readonly id: RuleId;
  readonly group: GroupRef;
  /** `tcp 5432 from sg:app`. */
  readonly text: string;
  readonly description: string;
  readonly origin: Origin;
}

export interface AdmittingRule extends RuleRef {
  /** Why the peer's name covers the address, where it is a name: `10.0.0.11 is of sg:web`. */
  readonly because?: string;
}

export type Clause = 'protocol' | 'family' | 'port' | 'type' | 'code' | 'peer';

export interface FailedClause {
  readonly clause: Clause;
  /** What the rule is for: `443`, `udp`, `IPv4`, `sg:app (10.0.0.12, fd00:10::12)`. */
  readonly wanted: string;
  /** What the packet has; absent where its protocol has no such thing. */
  readonly found?: string;
}

export interface NearMiss {
  readonly rule: RuleRef;
  /** At least one. */
  readonly failed: readonly FailedClause[];
  /** `would match if the port were 443, not 8443`. */
  readonly text: string;
}

/** How long a tracked flow may be idle, by what has become of it. */
export interface IdleTimeout {
  readonly when: string;
  readonly seconds: number;
}

export type Tracking =
  | { readonly kind: 'tracked'; readonly why: string; readonly idle: readonly IdleTimeout[] }
  | {
      readonly kind: 'untracked';
      readonly why: string;
      /** The rule that admits the packet, and the one that admits every answer to it. */
      readonly rules: readonly [RuleRef, RuleRef];
    }
  | {
      /** The question names no source port, and it matters. */
      readonly kind: 'depends';
      /** Why it is tracked otherwise. */
      readonly why: string;
      /** First and last of each run of source ports for which the flow is untracked. */
      readonly untrackedSourcePorts: readonly (readonly [number, number])[];
      /** The rule that admits the packet, then those that admit answers to some ports. */
      readonly rules: readonly RuleRef[];
      /** For the other source ports. */
      readonly idle: readonly IdleTimeout[];
    }
  | { readonly kind: 'none'; readonly why: string };

export interface GateAnswer {
  readonly direction: Direction;
  readonly interface: { readonly id: InterfaceId; readonly name: string };
  readonly groups: readonly GroupRef[];
  /** False if something before this gate drops the packet: then this is what the gate would say. */
  readonly reached: boolean;
  readonly verdict: Verdict;
  readonly reason: ReasonName;
  readonly why: string;
  /** The first rule that admits it, in the order of the interface's groups and their rules. */
  readonly decidedBy?: AdmittingRule;
  readonly alsoAdmittedBy: readonly AdmittingRule[];
  /** If refused: every rule of the gate, those with the fewest failed clauses first. */
  readonly nearMisses: readonly NearMiss[];
  readonly groupsWithoutRules: readonly GroupRef[];
  /** If allowed. */
  readonly tracking?: Tracking;
}

/** What is asked before the gates. */
export interface CheckAnswer {
  readonly check: Exclude<ReasonName, 'passed' | 'egress-rules' | 'ingress-rules'>;
  readonly outcome: 'passed' | 'refused';
  readonly why: string;
}

/** An end as it was taken for one family. */
export type End =
  | {
      readonly kind: 'interface';
      readonly id: InterfaceId;
      readonly name: string;
      readonly address: string;
    }
  | { readonly kind: 'outside' | 'platform'; readonly address: string };

export interface FamilyAnswer {
  readonly family: Family;
  readonly from: End;
  readonly to: End;
  readonly verdict: Verdict;
  /** Of the first check or gate that refuses it; `passed` if none does. */
  readonly reason: ReasonName;
  readonly why: string;
  /** In their order, up to and with the first that refuses. */
  readonly checks: readonly CheckAnswer[];
  /** In their order; none if groups don't see the packet at all. */
  readonly gates: readonly GateAnswer[];
  readonly notes: readonly string[];
}

export interface Explanation {
  /** `allowed` if there is an answer and all of them are. */
  readonly verdict: Verdict;
  readonly answers: readonly FamilyAnswer[];
  /** Families without an answer. With no answer at all, nothing could be asked. */
  readonly notAsked: readonly { readonly family: Family; readonly why: string }[];
}
