/** The parts of a draft (draft.ts) as an input has them, and their blocks and addresses as text. */
import { parseAddress, parseCidr, type Address, type Cidr } from '../addr/address.ts';
import type {
  ConnectionTracking,
  Direction,
  GroupId,
  InterfaceId,
  NetworkInterface,
  Origin,
  PrefixListId,
  RuleId,
  VpcId,
} from '../policy/model.ts';
import type { PermissionText } from '../policy/permissions.ts';
import { problemAt } from '../policy/problem-at.ts';
import type { Problem } from '../source/problem.ts';

/** A rule as the input has it. Each of its peers becomes one. */
export interface DraftRule {
  readonly direction: Direction;
  readonly text: PermissionText;
  readonly origin: Origin;
  /** Of a rule with one peer, where it is known. */
  readonly id?: RuleId;
  /** Set if it may not be there: what is not known, as a clause. */
  readonly possible?: string;
}

export interface DraftGroup {
  readonly id: GroupId;
  readonly name: string;
  readonly description: string;
  /** Undefined: it is not said. */
  readonly vpcId: VpcId | undefined;
  readonly origin: Origin;
  readonly rules: DraftRule[];
  readonly gaps: Record<Direction, string[]>;
  readonly memberGaps: string[];
  /** AWS's own rules are its rules, as nothing else is written about it. */
  readonly isUntouched?: boolean;
  /** Its tags put it in audit mode. Absent: false. */
  readonly audit?: true;
}

export interface DraftList {
  readonly id: PrefixListId;
  readonly name: string;
  readonly family: 4 | 6;
  readonly maxEntries: number | undefined;
  readonly entries: { readonly cidr: string; readonly description: string }[];
  readonly gaps: string[];
  readonly origin: Origin;
}

export interface DraftInterface {
  readonly id: InterfaceId;
  readonly name: string;
  readonly vpcId: VpcId | undefined;
  readonly subnetId: string | undefined;
  /** As text; empty: they are not known. */
  readonly addresses: readonly string[];
  /** It gets an address of IPv6 beside these, which is not known. Absent: false. */
  readonly lacksIpv6?: true;
  readonly groupIds: Set<GroupId>;
  readonly doubtGroups: Map<GroupId, string>;
  readonly gaps: string[];
  readonly sourceDestCheck: boolean;
  /** Absent: AWS's defaults. */
  readonly connectionTracking?: ConnectionTracking;
  /** Absent: false. */
  readonly audit?: true;
  /** As in the model. */
  readonly filters?: Pick<NetworkInterface, 'subnet' | 'hasPublicAddress'>;
  readonly origin: Origin;
}

export interface DraftNetwork {
  readonly id: string;
  readonly name: string;
  readonly vpcId: VpcId | undefined;
  /** As text; those that are known. */
  readonly blocks: readonly string[];
  /** Of a subnet: each interface in it gets an address of IPv6. Absent: false. */
  readonly givesIpv6?: true;
  readonly origin: Origin;
}

/** The addresses of an interface, and where the true ones are if these are made up. */
export interface PlannedAddresses {
  readonly addresses: readonly Address[];
  readonly within?: readonly Cidr[];
}

/** Reads blocks; those that are none are reported. */
export function readBlocks(
  texts: readonly string[],
  origin: Origin,
  problems: Problem[],
): readonly Cidr[] {
  return texts.flatMap((text) => {
    const parsed = parseCidr(text, 'mask');
    if (parsed.ok) return [parsed.value];
    problems.push(problemAt(origin, 'error', 'bad-cidr', parsed.message, parsed.hint));
    return [];
  });
}

/** Reads addresses; those that are none are reported. */
export function readAddresses(
  texts: readonly string[],
  origin: Origin,
  problems: Problem[],
): readonly Address[] {
  return texts.flatMap((text) => {
    const parsed = parseAddress(text);
    if (parsed.ok) return [parsed.value];
    problems.push(problemAt(origin, 'error', 'bad-address', parsed.message, parsed.hint));
    return [];
  });
}
