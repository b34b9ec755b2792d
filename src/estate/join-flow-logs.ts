/**
 * This file makes the flow logs of a host from those that calls made.
 *
 * A call says which interface, subnet or VPC a log is of, and AWS's destination. Here records go to a file of the host
 * whose name is the log's id: a call must not choose which files a daemon writes.
 */
import { join } from 'node:path';
import type { Config, FlowLogConfig } from '../config/config.ts';
import { parseFormat } from '../config/flow-log-format.ts';
import { ROTATION_LIMITS } from '../config/limits.ts';
import { ONLY_VPC_ID } from '../policy/vpcs.ts';
import type { EstateView } from './estate.ts';
import type { EstateFlowLog } from './model.ts';

export interface FlowLogJoin {
  readonly directory: string;
  readonly leaveOut: (id: string, why: string) => void;
}

/** @param config with the interfaces of the estate */
export function joinFlowLogs(
  estate: EstateView,
  config: Config,
  { directory, leaveOut }: FlowLogJoin,
): readonly FlowLogConfig[] {
  return estate.list('flow-logs').flatMap((log) => {
    const covered = coveredInterfaces(estate, config, log);
    // Its interfaces are on other hosts.
    if (covered.length === 0) return [];
    const format = parseFormat(log.format);
    if (!config.conntrack.accounting || !format.ok) {
      leaveOut(
        log.id,
        format.ok ? 'it tells packets and bytes, and conntrack.accounting is off' : format.message,
      );
      return [];
    }
    return [
      {
        name: log.id,
        file: join(directory, `${log.id}.log`),
        format: format.value,
        aggregationSec: log.aggregationSec,
        traffic: TRAFFIC[log.traffic],
        interfaces: covered.map(({ name }) => name),
        rotation: {
          sizeMb: ROTATION_LIMITS.sizeMb.otherwise,
          keep: ROTATION_LIMITS.keep.otherwise,
          gzip: false,
        },
        values: new Map([
          ['account-id', log.accountId],
          ['region', log.region],
        ]),
        interfaceValues: new Map(
          covered.map(({ id, name }) => [name, valuesOf(estate, config, id)] as const),
        ),
      },
    ];
  });
}

const TRAFFIC = { ALL: 'all', ACCEPT: 'accept', REJECT: 'reject' } as const;

function coveredInterfaces(
  estate: EstateView,
  { interfaces, model }: Config,
  { resourceId }: EstateFlowLog,
): Config['interfaces'] {
  return interfaces.filter(({ id }) => {
    if (id === resourceId || estate.find('interfaces', id)?.subnetId === resourceId) return true;
    return (model.interfaces.get(id)?.vpc?.id ?? ONLY_VPC_ID) === resourceId;
  });
}

function valuesOf(estate: EstateView, { model }: Config, id: string): ReadonlyMap<string, string> {
  const { subnetId, attachment } = estate.find('interfaces', id) ?? {};
  return new Map([
    ['vpc-id', model.interfaces.get(id)?.vpc?.id ?? ONLY_VPC_ID],
    ...(subnetId === undefined ? [] : [['subnet-id', subnetId] as const]),
    ...(attachment === undefined ? [] : [['instance-id', attachment.instanceId] as const]),
  ]);
}
