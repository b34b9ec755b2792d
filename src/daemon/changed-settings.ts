/**
 * This file compares the settings of two configurations: everything besides groups, rules, prefix lists and
 * interfaces that a reload puts in force.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Config, UplinkConfig } from '../config/config.ts';
import { ONLY_VPC_NAME } from '../policy/vpcs.ts';

/** Lists the paths of the keys whose meaning has changed, as written in the file. */
export function changedSettings(before: Config, after: Config): string[] {
  return [
    ...uplinkSettings(before.uplink, after.uplink),
    ...specialSettings(before, after),
    ...vpcSettings(before, after),
    ...changed('dhcpOptions', before.dhcpOptions, after.dhcpOptions),
    ...changed('quotas', before.quotas, after.quotas),
    // Their contents become groups, which are compared elsewhere. The list of files decides what is watched.
    ...changed('templates', before.otherFiles, after.otherFiles),
  ];
}

/** Checks whether both send packets to the same next hops on the uplink's link. */
export function isSameNextHops({ uplink: before }: Config, { uplink: after }: Config): boolean {
  return (
    isDeepStrictEqual(before?.addresses, after?.addresses) &&
    isDeepStrictEqual(before?.gateways, after?.gateways)
  );
}

/** Compares the settings of the uplink. An added or removed uplink is reported like an interface. */
function uplinkSettings(
  before: UplinkConfig | undefined,
  after: UplinkConfig | undefined,
): string[] {
  if (before === undefined || after === undefined) return [];
  return [
    ...changed('uplink.addresses', before.addresses, after.addresses),
    ...changed('uplink.gateways', before.gateways, after.gateways),
    ...changed('uplink.routes', before.routes, after.routes),
  ];
}

function specialSettings({ special: before }: Config, { special: after }: Config): string[] {
  return [
    ...changed('platformServices', before.exempt, after.exempt),
    ...changed('classE', before.allowsClassE, after.allowsClassE),
  ];
}

/** Compares VPCs. Their blocks and subnets also give the addresses of DNS and routers. */
function vpcSettings(before: Config, after: Config): string[] {
  const vpcs = [...(after.model.vpcs?.values() ?? [])];
  const isUnnamed = vpcs.every(({ name }) => name === ONLY_VPC_NAME);
  return changed(isUnnamed ? 'vpc' : 'vpcs', vpcsIn(before), vpcsIn(after));
}

function vpcsIn({ model, special }: Config): unknown {
  const vpcs = [...(model.vpcs?.values() ?? [])];
  return [special.reserved, vpcs.map(({ id, name, cidrBlocks }) => [id, name, cidrBlocks])];
}

function changed(path: string, before: unknown, after: unknown): string[] {
  return isDeepStrictEqual(before, after) ? [] : [path];
}
