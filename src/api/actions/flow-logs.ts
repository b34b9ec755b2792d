/** Actions on flow logs: CreateFlowLogs, DescribeFlowLogs, DeleteFlowLogs. */
import { createFlowLog, deleteFlowLog } from '../../estate/flow-logs.ts';
import type { EstateFlowLog } from '../../estate/model.ts';
import type { Checked } from '../../policy/refusals.ts';
import { ApiError, type Action, type Answer } from '../action.ts';
import type { Filter } from '../filters.ts';
import { shown } from '../form.ts';
import { managedAction, type DryRunParams, type Managed } from '../managed.ts';
import type { PageParams } from '../page.ts';
import { pageOfMatching, requiredList } from './describe.ts';
import { tagOutput } from './group-output.ts';
import { tagsOf, type TagSpecification } from './rule-params.ts';

interface CreateParams extends DryRunParams {
  readonly ResourceIds?: readonly string[];
  readonly ResourceType?: string;
  readonly TrafficType?: string;
  readonly LogDestinationType?: string;
  readonly LogDestination?: string;
  readonly LogGroupName?: string;
  readonly LogFormat?: string;
  readonly MaxAggregationInterval?: number;
  readonly TagSpecifications?: readonly TagSpecification[];
  readonly ClientToken?: string;
}

interface DescribeParams extends DryRunParams, PageParams {
  readonly FlowLogIds?: readonly string[];
  readonly Filter?: readonly Filter[];
}

const PREFIXES = { VPC: 'vpc-', Subnet: 'subnet-', NetworkInterface: 'eni-' } as const;
const TRAFFIC = ['ALL', 'ACCEPT', 'REJECT'] as const;
const DESTINATION_TYPES = ['cloud-watch-logs', 's3', 'kinesis-data-firehose'] as const;
const AGGREGATIONS = [60, 600] as const;

export function flowLogActions(managed: Managed): readonly Action[] {
  return [
    managedAction<CreateParams>(managed, 'CreateFlowLogs', 'write', createFlowLogs),
    managedAction<{ readonly FlowLogIds?: readonly string[] } & DryRunParams>(
      managed,
      'DeleteFlowLogs',
      'write',
      async (my, params) => {
        const ids = requiredList(params.FlowLogIds, 'FlowLogId');
        const { revision } = await my.change(params, (edit) => {
          const done = ids.map((id) => deleteFlowLog(edit, id));
          return done.find(({ ok }) => !ok) ?? done[0];
        });
        return { output: { Unsuccessful: [] }, revision };
      },
    ),
    managedAction<DescribeParams>(managed, 'DescribeFlowLogs', 'read', async (my, params) => {
      const { FlowLogIds: ids, Filter: filters, ...rest } = params;
      const asked = my.estate.list('flow-logs').filter(({ id }) => ids?.includes(id) ?? true);
      const { items, NextToken } = pageOfMatching(
        asked,
        { ...rest, ...(filters === undefined ? {} : { Filters: filters }) },
        {
          idOf: ({ id }) => id,
          tagsOf: ({ tags }) => tags,
          fields: {
            'flow-log-id': ({ id }) => [id],
            'resource-id': ({ resourceId }) => [resourceId],
            'traffic-type': ({ traffic }) => [traffic],
            'log-destination-type': ({ destinationType }) => [destinationType],
            'log-group-name': ({ logGroupName }) =>
              logGroupName === undefined ? [] : [logGroupName],
            'deliver-log-status': () => ['SUCCESS'],
          },
        },
      );
      return { output: { FlowLogs: items.map(flowLogOutput), NextToken } };
    }),
  ];
}

async function createFlowLogs(my: Managed, params: CreateParams): Promise<Answer> {
  const ids = requiredList(params.ResourceIds, 'ResourceId');
  const prefix = PREFIXES[word(params.ResourceType, 'ResourceType', keysOf(PREFIXES))];
  const stranger = ids.find((id) => !id.startsWith(prefix));
  if (stranger !== undefined) {
    const message = `Unknown ResourceId '${shown(stranger)}' for the ResourceType ${params.ResourceType}`;
    throw new ApiError('InvalidParameterValue', message);
  }
  const tags = tagsOf(params.TagSpecifications, 'vpc-flow-log');
  const given = {
    traffic: word(params.TrafficType, 'TrafficType', TRAFFIC),
    destinationType: word(
      params.LogDestinationType ?? DESTINATION_TYPES[0],
      'LogDestinationType',
      DESTINATION_TYPES,
    ),
    destination: params.LogDestination,
    logGroupName: params.LogGroupName,
    format: params.LogFormat,
    aggregationSec: aggregation(params.MaxAggregationInterval),
    region: my.region,
    tags,
  };
  const { value, revision } = await my.changeOnce(
    'CreateFlowLogs',
    params,
    (edit) => {
      const made: string[] = [];
      for (const resourceId of ids) {
        const done: Checked<EstateFlowLog> = createFlowLog(
          edit,
          { ...given, resourceId },
          my.context,
        );
        if (!done.ok) return done;
        made.push(done.value.id);
      }
      return { ok: true, value: made.join() };
    },
    (_, made) => made,
  );
  return {
    output: { ClientToken: params.ClientToken, FlowLogIds: value.split(','), Unsuccessful: [] },
    revision,
  };
}

function flowLogOutput(log: EstateFlowLog): object {
  return {
    FlowLogId: log.id,
    FlowLogStatus: 'ACTIVE',
    DeliverLogsStatus: 'SUCCESS',
    CreationTime: new Date(log.createdAt),
    ResourceId: log.resourceId,
    TrafficType: log.traffic,
    LogDestinationType: log.destinationType,
    LogDestination: log.destination,
    LogGroupName: log.logGroupName,
    LogFormat: log.format,
    MaxAggregationInterval: log.aggregationSec,
    Tags: tagOutput(log.tags),
  };
}

function aggregation(seconds: number | undefined): 60 | 600 {
  const found = AGGREGATIONS.find((one) => one === (seconds ?? 600));
  if (found !== undefined) return found;
  const message = `Value (${seconds}) for parameter MaxAggregationInterval is invalid. It is 60 or 600.`;
  throw new ApiError('InvalidParameterValue', message);
}

function word<T extends string>(value: string | undefined, name: string, words: readonly T[]): T {
  const found = words.find((one) => one === value);
  if (found !== undefined) return found;
  if (value === undefined)
    throw new ApiError('MissingParameter', `The request must contain the parameter ${name}`);
  const message = `Value (${shown(value)}) for parameter ${name} is invalid. It is one of ${words.join(', ')}.`;
  throw new ApiError('InvalidParameterValue', message);
}

function keysOf<T extends object>(value: T): readonly (keyof T & string)[] {
  return Object.keys(value) as (keyof T & string)[];
}
