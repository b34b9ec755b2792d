/** The describe calls that need no model: the region, its availability zones, and what the account has. */
import { action, ApiError, dryRunSucceeded, type Action } from './action.ts';
import { filterTest, type Filter } from './filters.ts';
import { shown } from './form.ts';
import { zonesOf } from './zones.ts';

interface RegionsRequest {
  readonly RegionNames?: readonly string[];
  readonly Filters?: readonly Filter[];
  readonly DryRun?: boolean;
}

interface ZonesRequest {
  readonly ZoneNames?: readonly string[];
  readonly ZoneIds?: readonly string[];
  readonly Filters?: readonly Filter[];
  readonly DryRun?: boolean;
}

interface AttributesRequest {
  readonly AttributeNames?: readonly string[];
  readonly DryRun?: boolean;
}

const OPT_IN = 'opt-in-not-required';

/** The account's limits that bear on networks, as AWS has them by default, and that there is no EC2-Classic. */
const ACCOUNT_ATTRIBUTES: readonly (readonly [name: string, value: string])[] = [
  ['supported-platforms', 'VPC'],
  ['vpc-max-security-groups-per-interface', '5'],
  ['max-instances', '20'],
  ['max-elastic-ips', '5'],
  ['vpc-max-elastic-ips', '5'],
];

/**
 * @param region the one that this endpoint serves
 * @param defaultVpc its id; undefined: there is none
 */
export function placeActions(
  region: string,
  defaultVpc: () => string | undefined,
): readonly Action[] {
  return [
    action<RegionsRequest>('ec2', 'DescribeRegions', 'read', async (params) => {
      const regions = [
        { RegionName: region, Endpoint: `ec2.${region}.amazonaws.com`, OptInStatus: OPT_IN },
      ];
      const isAsked = filterTest<(typeof regions)[number]>(params.Filters, {
        'region-name': ({ RegionName }) => [RegionName],
        endpoint: ({ Endpoint }) => [Endpoint],
        'opt-in-status': ({ OptInStatus }) => [OptInStatus],
      });
      checkNames(params.RegionNames, [region], 'region');
      if (params.DryRun === true) throw dryRunSucceeded();
      return { output: { Regions: regions.filter(isAsked) } };
    }),
    action<ZonesRequest>('ec2', 'DescribeAvailabilityZones', 'read', async (params) => ({
      output: { AvailabilityZones: zonesAsked(region, params) },
    })),
    action<AttributesRequest>('ec2', 'DescribeAccountAttributes', 'read', async (params) => {
      const { AttributeNames: names, DryRun: isDryRun } = params;
      const known = [...ACCOUNT_ATTRIBUTES, ['default-vpc', defaultVpc() ?? 'none'] as const];
      for (const name of names ?? [])
        if (!known.some(([one]) => one === name))
          throw new ApiError(
            'InvalidParameterValue',
            `Value (${shown(name)}) for parameter attributeName is invalid. Unknown account attribute.`,
          );
      if (isDryRun === true) throw dryRunSucceeded();
      const asked = known.filter(([name]) => names?.includes(name) ?? true);
      return {
        output: {
          AccountAttributes: asked.map(([name, value]) => ({
            AttributeName: name,
            AttributeValues: [{ AttributeValue: value }],
          })),
        },
      };
    }),
  ];
}

function zonesAsked(region: string, params: ZonesRequest): readonly object[] {
  const zones = zonesOf(region).map(({ name, id }) => ({
    State: 'available',
    OptInStatus: OPT_IN,
    Messages: [],
    RegionName: region,
    ZoneName: name,
    ZoneId: id,
    GroupName: `${region}-zg-1`,
    NetworkBorderGroup: region,
    ZoneType: 'availability-zone',
  }));
  const isAsked = filterTest<(typeof zones)[number]>(params.Filters, {
    'region-name': ({ RegionName }) => [RegionName],
    'zone-name': ({ ZoneName }) => [ZoneName],
    'zone-id': ({ ZoneId }) => [ZoneId],
    'zone-type': ({ ZoneType }) => [ZoneType],
    'group-name': ({ GroupName }) => [GroupName],
    'opt-in-status': ({ OptInStatus }) => [OptInStatus],
    state: ({ State }) => [State],
    message: () => [],
  });
  const { ZoneNames: names, ZoneIds: ids } = params;
  checkNames(
    names,
    zones.map(({ ZoneName }) => ZoneName),
    'availability zone',
  );
  checkNames(
    ids,
    zones.map(({ ZoneId }) => ZoneId),
    'availability zone',
  );
  if (params.DryRun === true) throw dryRunSucceeded();
  return zones.filter(
    (zone) =>
      (names?.includes(zone.ZoneName) ?? true) &&
      (ids?.includes(zone.ZoneId) ?? true) &&
      isAsked(zone),
  );
}

function checkNames(
  asked: readonly string[] | undefined,
  known: readonly string[],
  what: string,
): void {
  for (const name of asked ?? [])
    if (!known.includes(name))
      throw new ApiError('InvalidParameterValue', `Invalid ${what}: [${shown(name)}]`);
}
