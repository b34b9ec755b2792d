/**
 * These types are a question about one packet and its answer, as plain data: the input and output of explain.ts.
 *
 * Everything in an answer can be written as JSON. Addresses are text, since only people and `jq` read them. The
 * question is about the first packet of a new flow. A packet of a known flow passes by its flow, whatever the rules
 * say.
 */
import type { Address, Family } from '../addr/address.ts';
import type {
  Direction,
  GroupId,
  InterfaceId,
  Origin,
  PolicyModel,
  RuleId,
} from '../policy/model.ts';
import type { SpecialAddresses } from '../policy/special-addresses.ts';

/** What decides about packets: the groups, the addresses of the platform, and the uplink. */
export interface Network {
  readonly model: PolicyModel;
  /** Addresses of the platform, exempt services that egress gates never filter, and addresses of the uplink. */
  readonly special: SpecialAddresses;
  /** Whether there is a path to and from addresses that no interface here has. */
  readonly hasUplink: boolean;
  /** What an interface has learnt of the DNS names of its rules. Absent: only a daemon knows that. */
  readonly learntBy?: (id: InterfaceId) => readonly LearntName[];
}

/** An address of a DNS name that rules have. */
export interface LearntName {
  /** As the rule has it, `api.example.com` or `*.example.com`. */
  readonly name: string;
  readonly address: Address;
  /** Ms since 1970 until which it counts. */
  readonly untilMs: number;
}

/** One end of the question. A source that is a bare address sends from outside, through the uplink. */
export type Endpoint =
  | {
      readonly kind: 'interface';
      readonly interfaceId: InterfaceId;
      /** An address of the interface. Default: the first of each family. */
      readonly address?: Address;
    }
  | { readonly kind: 'address'; readonly address: Address };

/** What is sent. Ports are 0–65535, types and codes 0–255. `protocol` is for any other protocol. */
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
  /** Limits the question to this family. */
  readonly family?: Family;
}

/** The names of engine/reasons.ts that an answer can have. A test compares the two. */
export const EXPLAINED_REASONS = [
  'passed',
  'link-scope',
  'martian',
  'source-check',
  'uplink-spoof',
  'no-route',
  'egress-rules',
  'ingress-rules',
  'stale-groups',
  'fenced',
] as const;
export type ReasonName = (typeof EXPLAINED_REASONS)[number];

/** `undecidable`: the input leaves open what it depends on (policy/doubt.ts). */
export type Verdict = 'allowed' | 'refused' | 'undecidable';

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
  /** If the peer is a name: why it covers the address, such as `10.0.0.11 is of sg:web`. */
  readonly because?: string;
}

export type Clause = 'protocol' | 'family' | 'port' | 'type' | 'code' | 'peer';

export interface FailedClause {
  readonly clause: Clause;
  /** What the rule is for: `443`, `udp`, `IPv4`, `sg:app (10.0.0.12, fd00:10::12)`. */
  readonly wanted: string;
  /** What the packet has. Absent if its protocol has no such field. */
  readonly found?: string;
}

export interface NearMiss {
  readonly rule: RuleRef;
  /** At least one. */
  readonly failed: readonly FailedClause[];
  /** `would match if the port were 443, not 8443`. */
  readonly text: string;
}

/** How long a tracked flow may be idle in one of its states. */
export interface IdleTimeout {
  readonly when: string;
  readonly seconds: number;
}

export type Tracking =
  | { readonly kind: 'tracked'; readonly why: string; readonly idle: readonly IdleTimeout[] }
  | {
      readonly kind: 'untracked';
      readonly why: string;
      /** The rule that admits the packet, and the rule that admits every answer to it. */
      readonly rules: readonly [RuleRef, RuleRef];
    }
  | {
      /** The result depends on the source port, which the question does not name. */
      readonly kind: 'depends';
      /** Why the flow is tracked for all other source ports. */
      readonly why: string;
      /** First and last port of each range of source ports for which the flow is untracked. */
      readonly untrackedSourcePorts: readonly (readonly [number, number])[];
      /** The rule that admits the packet, then those that admit answers to some ports. */
      readonly rules: readonly RuleRef[];
      /** The idle times for the other source ports. */
      readonly idle: readonly IdleTimeout[];
    }
  | { readonly kind: 'none'; readonly why: string };

export interface GateAnswer {
  readonly direction: Direction;
  readonly interface: { readonly id: InterfaceId; readonly name: string };
  readonly groups: readonly GroupRef[];
  /** False if something before this gate drops the packet. Then the answer is what the gate would decide. */
  readonly reached: boolean;
  readonly verdict: Verdict;
  readonly reason: ReasonName;
  readonly why: string;
  /** If it is undecidable: what it depends on, each as a clause. */
  readonly dependsOn?: readonly string[];
  /** The first rule that admits it, in the order of the interface's groups and their rules. */
  readonly decidedBy?: AdmittingRule;
  readonly alsoAdmittedBy: readonly AdmittingRule[];
  /** If refused: all rules of the gate, those with the fewest failed clauses first. */
  readonly nearMisses: readonly NearMiss[];
  readonly groupsWithoutRules: readonly GroupRef[];
  /** If the rules refuse it: by what it passes all the same (policy/audit.ts). Absent: it is dropped. */
  readonly audit?: string;
  /** Present if allowed. */
  readonly tracking?: Tracking;
}

/** The answer of one check before the gates. */
export interface CheckAnswer {
  readonly check: Exclude<
    ReasonName,
    'passed' | 'egress-rules' | 'ingress-rules' | 'stale-groups' | 'fenced'
  >;
  readonly outcome: 'passed' | 'refused';
  readonly why: string;
}

/** What a subnet of an account asks beside groups. */
export interface SubnetAnswer {
  readonly check: 'route' | 'network-acl';
  readonly verdict: Verdict;
  readonly why: string;
}

/** An end as it was resolved for one family. */
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
  /**
   * The reason of the first check or gate that refuses; `passed` if none does. If it is undecidable: the one that would
   * refuse. No packet here is dropped for `route` and `network-acl`, which AWS asks.
   */
  readonly reason: ReasonName | SubnetAnswer['check'];
  readonly why: string;
  /** The checks in their order, up to and including the first that refuses. */
  readonly checks: readonly CheckAnswer[];
  /** The gates in their order. Empty if the packet reaches no group at all. */
  readonly gates: readonly GateAnswer[];
  /** What the subnets ask, in its order. Absent: the input says nothing of it. */
  readonly subnets?: readonly SubnetAnswer[];
  readonly notes: readonly string[];
}

export interface Explanation {
  /** `allowed` if there is an answer and all answers are `allowed`; `undecidable` if none is refused, and not so. */
  readonly verdict: Verdict;
  readonly answers: readonly FamilyAnswer[];
  /** Families without an answer, and why. */
  readonly notAsked: readonly { readonly family: Family; readonly why: string }[];
}
