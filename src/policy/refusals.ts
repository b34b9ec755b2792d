/**
 * A refusal is the EC2 API's answer to a call that it does not carry out: its code, its sentence, and our advice.
 *
 * The loaders report a refusal as a problem at its place. The API answers with the first refusal of a call. Source of
 * codes: "Error codes for the Amazon EC2 API".
 */
import type { Parsed } from '../addr/address.ts';

/** AWS's error codes, in AWS's spelling. */
export type RefusalCode =
  | 'CannotDelete'
  | 'DefaultVpcAlreadyExists'
  | 'DependencyViolation'
  | 'FlowLogAlreadyExists'
  | 'IdempotentParameterMismatch'
  | 'InsufficientFreeAddressesInSubnet'
  | 'InvalidAttachmentID.NotFound'
  | 'InvalidFlowLogId.NotFound'
  | 'InvalidGroup.Duplicate'
  | 'InvalidGroup.NotFound'
  | 'InvalidGroup.Reserved'
  | 'InvalidGroupId.Malformed'
  | 'InvalidID'
  | 'InvalidIPAddress.InUse'
  | 'InvalidNetworkInsightsAnalysisId.NotFound'
  | 'InvalidNetworkInsightsPathId.NotFound'
  | 'InvalidInstanceID.NotFound'
  | 'InvalidNetworkAclID.NotFound'
  | 'InvalidNetworkInterface.InUse'
  | 'InvalidNetworkInterfaceID.NotFound'
  | 'InvalidParameterCombination'
  | 'InvalidParameterValue'
  | 'InvalidPermission.Duplicate'
  | 'InvalidPermission.NotFound'
  | 'InvalidPrefixListID.NotFound'
  | 'InvalidPrefixListId.Malformed'
  | 'InvalidPrefixListModification'
  | 'InvalidRouteTableID.NotFound'
  | 'InvalidSecurityGroupRuleId.Malformed'
  | 'InvalidSecurityGroupRuleId.NotFound'
  | 'InvalidSubnet.Conflict'
  | 'InvalidSubnetCidrBlockAssociationID.NotFound'
  | 'InvalidSubnet.Range'
  | 'InvalidSubnetID.NotFound'
  | 'InvalidVpc.Range'
  | 'InvalidVpcCidrBlockAssociationID.NotFound'
  | 'InvalidVpcID.Malformed'
  | 'InvalidVpcID.NotFound'
  | 'MissingParameter'
  | 'OperationNotPermitted'
  | 'PrefixListMaxEntriesExceeded'
  | 'PrefixListVersionMismatch'
  | 'PrivateIpAddressLimitExceeded'
  | 'RulesPerSecurityGroupLimitExceeded'
  | 'SecurityGroupLimitExceeded'
  | 'SecurityGroupsPerInterfaceLimitExceeded'
  | 'TagLimitExceeded'
  | 'VPCIdNotSpecified';

export interface Refusal {
  readonly code: RefusalCode;
  /** AWS's sentence where it is known, with or without a full stop, as AWS has it. */
  readonly message: string;
  /** Our advice: what would be right, or what to do. Without a full stop. */
  readonly hint?: string;
}

/** A value, or at least one refusal. The first refusal is the one that AWS would answer with. */
export type Checked<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly refusals: readonly Refusal[] };

export function makeRefusal(code: RefusalCode, message: string, hint?: string): Refusal {
  return hint === undefined ? { code, message } : { code, message, hint };
}

/** The value if there are no refusals, otherwise the refusals. */
export function unlessRefused<T>(value: T, refusals: readonly Refusal[]): Checked<T> {
  return refusals.length === 0 ? { ok: true, value } : { ok: false, refusals };
}

/** What was found, as its caller wants it. */
export function answering<T, U>(found: Checked<T>, answer: (value: T) => U): Checked<U> {
  return found.ok ? { ok: true, value: answer(found.value) } : found;
}

/** Refusals as one sentence, for who is no client of the EC2 API. */
export function refusalText(refusals: readonly Refusal[]): string {
  return refusals
    .map(({ message, hint }) => {
      const sentence = message.replace(/\.$/, '');
      return hint === undefined ? sentence : `${sentence}: ${hint}`;
    })
    .join('; ');
}

/**
 * Takes the value of a parsed text, or adds the refusal and returns undefined. AWS has the same code for nearly every
 * bad text.
 */
export function takeParsed<T>(
  parsed: Parsed<T>,
  refusals: Refusal[],
  code: RefusalCode = 'InvalidParameterValue',
): T | undefined {
  if (parsed.ok) return parsed.value;
  refusals.push(makeRefusal(code, parsed.message, parsed.hint));
  return undefined;
}

/** Collects the refusals of several checks. */
export function collect(...found: readonly (Refusal | undefined)[]): Refusal[] {
  return found.filter((refusal) => refusal !== undefined);
}

/** The answer to a missing parameter. */
export function missingParameter(name: string, hint?: string): Refusal {
  return makeRefusal('MissingParameter', `The request must contain the parameter ${name}`, hint);
}
