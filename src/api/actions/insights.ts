/** Actions of Reachability Analyzer: paths, and analyses that are answered at once. */
import {
  createPath,
  deleteAnalysis,
  deletePath,
  findPath,
  keepAnalysis,
} from '../../estate/insights.ts';
import type { InsightsAnalysis, InsightsPath } from '../../estate/model.ts';
import { ApiError, type Action } from '../action.ts';
import { shown } from '../form.ts';
import { managedAction, type DryRunParams, type Managed } from '../managed.ts';
import type { PageBounds } from '../page.ts';
import { analyse } from '../reachability.ts';
import { pageOfMatching, required, type DescribeParams } from './describe.ts';
import { arnOf, tagOutput } from './group-output.ts';
import { tagsOf, type TagSpecification } from './rule-params.ts';

interface PathFilter {
  readonly SourceAddress?: string;
  readonly DestinationAddress?: string;
  readonly SourcePortRange?: { readonly FromPort?: number };
  readonly DestinationPortRange?: { readonly FromPort?: number };
}

interface CreateParams extends DryRunParams {
  readonly Source?: string;
  readonly Destination?: string;
  readonly SourceIp?: string;
  readonly DestinationIp?: string;
  readonly Protocol?: string;
  readonly DestinationPort?: number;
  readonly FilterAtSource?: PathFilter;
  readonly TagSpecifications?: readonly TagSpecification[];
  readonly ClientToken?: string;
}

interface StartParams extends DryRunParams {
  readonly NetworkInsightsPathId?: string;
  readonly TagSpecifications?: readonly TagSpecification[];
  readonly ClientToken?: string;
}

/** Source: EC2 API Reference, DescribeNetworkInsightsPaths. */
const BOUNDS: PageBounds = { min: 1, max: 100 };

export function insightsActions(managed: Managed): readonly Action[] {
  return [...pathActions(managed), ...analysisActions(managed)];
}

function pathActions(managed: Managed): readonly Action[] {
  return [
    managedAction<CreateParams>(
      managed,
      'CreateNetworkInsightsPath',
      'write',
      async (my, params) => {
        const tags = tagsOf(params.TagSpecifications, 'network-insights-path');
        const { value, revision } = await my.changeOnce(
          'CreateNetworkInsightsPath',
          params,
          (edit) => createPath(edit, { ...readPath(params), tags }, my.context),
          (edit, id) => edit.read('insights-paths', id),
        );
        return { output: { NetworkInsightsPath: pathOutput(value, my) }, revision };
      },
    ),
    managedAction<{ readonly NetworkInsightsPathId?: string } & DryRunParams>(
      managed,
      'DeleteNetworkInsightsPath',
      'write',
      async (my, params) => {
        const id = required(params.NetworkInsightsPathId, 'NetworkInsightsPathId');
        const { revision } = await my.change(params, (edit) => deletePath(edit, id));
        return { output: { NetworkInsightsPathId: id }, revision };
      },
    ),
    managedAction<DescribeParams & { readonly NetworkInsightsPathIds?: readonly string[] }>(
      managed,
      'DescribeNetworkInsightsPaths',
      'read',
      async (my, params) => {
        const found = chosen(
          my.estate.list('insights-paths'),
          params.NetworkInsightsPathIds,
          'Path',
        );
        const { items, NextToken } = pageOfMatching(found, params, {
          idOf: ({ id }) => id,
          tagsOf: ({ tags }) => tags,
          fields: {
            destination: ({ destination }) => (destination === undefined ? [] : [destination]),
            protocol: ({ protocol }) => [protocol],
            source: ({ source }) => [source],
          },
          bounds: BOUNDS,
        });
        return {
          output: { NetworkInsightsPaths: items.map((one) => pathOutput(one, my)), NextToken },
        };
      },
    ),
  ];
}

function analysisActions(managed: Managed): readonly Action[] {
  return [
    managedAction<StartParams>(
      managed,
      'StartNetworkInsightsAnalysis',
      'write',
      async (my, params) => {
        const pathId = required(params.NetworkInsightsPathId, 'NetworkInsightsPathId');
        const tags = tagsOf(params.TagSpecifications, 'network-insights-analysis');
        const { value, revision } = await my.changeOnce(
          'StartNetworkInsightsAnalysis',
          params,
          (edit) => {
            const path = findPath(edit, pathId);
            if (!path.ok) return path;
            return keepAnalysis(
              edit,
              pathId,
              analyse(edit.estate, path.value, my),
              tags,
              my.context,
            );
          },
          (edit, id) => edit.read('insights-analyses', id),
        );
        return { output: { NetworkInsightsAnalysis: analysisOutput(value, my) }, revision };
      },
    ),
    managedAction<{ readonly NetworkInsightsAnalysisId?: string } & DryRunParams>(
      managed,
      'DeleteNetworkInsightsAnalysis',
      'write',
      async (my, params) => {
        const id = required(params.NetworkInsightsAnalysisId, 'NetworkInsightsAnalysisId');
        const { revision } = await my.change(params, (edit) => deleteAnalysis(edit, id));
        return { output: { NetworkInsightsAnalysisId: id }, revision };
      },
    ),
    managedAction<
      DescribeParams & {
        readonly NetworkInsightsAnalysisIds?: readonly string[];
        readonly NetworkInsightsPathId?: string;
      }
    >(managed, 'DescribeNetworkInsightsAnalyses', 'read', async (my, params) => {
      const { NetworkInsightsAnalysisIds: ids, NetworkInsightsPathId: pathId } = params;
      const found = chosen(my.estate.list('insights-analyses'), ids, 'Analysis');
      const asked = found.filter((one) => (pathId ?? one.pathId) === one.pathId);
      const { items, NextToken } = pageOfMatching(asked, params, {
        idOf: ({ id }) => id,
        tagsOf: ({ tags }) => tags,
        fields: { 'path-found': ({ isFound }) => [String(isFound)], status: () => ['succeeded'] },
        bounds: BOUNDS,
      });
      const analyses = items.map((one) => analysisOutput(one, my));
      return { output: { NetworkInsightsAnalyses: analyses, NextToken } };
    }),
  ];
}

function readPath(params: CreateParams): Omit<InsightsPath, 'id' | 'createdAt' | 'tags'> {
  const { Protocol: protocol, FilterAtSource: filter } = params;
  if (protocol !== 'tcp' && protocol !== 'udp') {
    const message = `Value (${shown(protocol ?? '')}) for parameter protocol is invalid. It is tcp or udp.`;
    throw new ApiError('InvalidParameterValue', message);
  }
  const destinationIp = params.DestinationIp ?? filter?.DestinationAddress;
  if (params.Destination === undefined && destinationIp === undefined) {
    const message = 'The request must contain the parameter Destination or DestinationIp';
    throw new ApiError('MissingParameter', message);
  }
  return {
    source: required(params.Source, 'Source'),
    destination: params.Destination,
    sourceIp: params.SourceIp ?? filter?.SourceAddress,
    destinationIp,
    protocol,
    sourcePort: filter?.SourcePortRange?.FromPort,
    destinationPort: params.DestinationPort ?? filter?.DestinationPortRange?.FromPort,
  };
}

function pathOutput(path: InsightsPath, my: Managed): object {
  return {
    NetworkInsightsPathId: path.id,
    NetworkInsightsPathArn: arnOf(my, 'network-insights-path', path.id),
    CreatedDate: new Date(path.createdAt),
    Source: path.source,
    Destination: path.destination,
    SourceIp: path.sourceIp,
    DestinationIp: path.destinationIp,
    Protocol: path.protocol,
    DestinationPort: path.destinationPort,
    Tags: tagOutput(path.tags),
  };
}

function analysisOutput(
  { id, pathId, startedAt, output, tags }: InsightsAnalysis,
  my: Managed,
): object {
  return {
    NetworkInsightsAnalysisId: id,
    NetworkInsightsAnalysisArn: arnOf(my, 'network-insights-analysis', id),
    NetworkInsightsPathId: pathId,
    StartDate: new Date(startedAt),
    ...output,
    Tags: tagOutput(tags),
  };
}

/** Those of some ids, or all. @throws ApiError if one is not there */
function chosen<T extends { readonly id: string }>(
  all: readonly T[],
  ids: readonly string[] | undefined,
  what: 'Path' | 'Analysis',
): readonly T[] {
  if (ids === undefined) return all;
  for (const id of ids)
    if (!all.some((one) => one.id === id)) {
      const message = `The ${what.toLowerCase()} '${shown(id)}' does not exist`;
      throw new ApiError(`InvalidNetworkInsights${what}Id.NotFound`, message);
    }
  return all.filter(({ id }) => ids.includes(id));
}
