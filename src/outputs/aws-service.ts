/** Writes what a rule admits as EC2, CloudFormation and Terraform take it. */
import { PROTOCOL_ALL, type Rule } from '../policy/model.ts';
import { hasIcmpType, hasPorts, protocolName } from '../policy/protocols.ts';

export interface AwsService {
  readonly protocol: string;
  /** Undefined where the protocol has none. */
  readonly fromPort: number | undefined;
  readonly toPort: number | undefined;
}

export function awsService({ protocol, fromPort, toPort }: Rule): AwsService {
  const name = protocol === PROTOCOL_ALL ? '-1' : protocolName(protocol);
  if (hasPorts(protocol) || hasIcmpType(protocol)) return { protocol: name, fromPort, toPort };
  return { protocol: name, fromPort: undefined, toPort: undefined };
}
