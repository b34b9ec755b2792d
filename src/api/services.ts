/** The services that are served, by the name that stands in a signature's scope. */
import { DOOR_CALL_NAMES, DOOR_CALLS_TARGET } from '../estate/door-calls.ts';
import { jsonProtocol } from './json-protocol.ts';
import type { Protocol } from './protocol.ts';
import { queryProtocol } from './query-protocol.ts';
import { S3_PROTOCOL } from './s3/s3-protocol.ts';
import { CLOUDFORMATION_TABLE } from './wire-cloudformation.ts';
import { EC2_TABLE } from './wire-ec2.ts';
import { STS_TABLE } from './wire-sts.ts';
import { readTable, type Service } from './wire-table.ts';

/** Those with the query protocol. */
export const SERVICES: ReadonlyMap<string, Service> = new Map(
  [EC2_TABLE, STS_TABLE, CLOUDFORMATION_TABLE].map((table) => [table.service, readTable(table)]),
);

export const PROTOCOLS: ReadonlyMap<string, Protocol> = new Map(
  [
    ...[...SERVICES.values()].map(queryProtocol),
    S3_PROTOCOL,
    jsonProtocol('ssm', 'AmazonSSM', ['GetParameter']),
    jsonProtocol('secgroupd', DOOR_CALLS_TARGET, DOOR_CALL_NAMES),
  ].map((one) => [one.service, one]),
);
