/** Lists what templates have for the interfaces of a configuration to stand for (`from`), with their groups. */
import type { LoadedTemplate } from '../cloudformation/load-template.ts';
import { stableId } from '../policy/ids.ts';
import type { GroupId, InterfaceId, Origin } from '../policy/model.ts';
import { DEFAULT_GROUP_NAME } from '../policy/texts.ts';

/** The network interfaces of a resource. */
export interface TemplateInterface {
  /** As `from` of an interface names it: STACK/LOGICAL-ID. */
  readonly from: string;
  readonly type: string;
  /** The names of those that are known. */
  readonly groups: readonly string[];
  /** Why these may not be all; empty if they are. */
  readonly gaps: readonly string[];
}

/** The same with ids, for who makes interfaces of it. */
export interface PlacedInterface {
  readonly shown: TemplateInterface;
  readonly id: InterfaceId;
  /** The groups that are known. Undefined: the default group. */
  readonly groupIds: readonly GroupId[] | undefined;
  /** Absent: false. */
  readonly audit?: true;
  /** It has addresses of IPv6. Absent: it is not said. */
  readonly hasIpv6?: true;
  readonly origin: Origin;
}

/** By file. To be called when everything else of the templates has been read. */
export function listTemplateInterfaces(
  units: readonly { readonly file: string; readonly loaded: readonly LoadedTemplate[] }[],
): ReadonlyMap<string, readonly PlacedInterface[]> {
  const groups = units.flatMap(({ loaded }) => loaded.flatMap((one) => one.groups));
  const names = new Map(groups.map(({ id, name }): [GroupId, string] => [id, name]));
  return new Map(
    units.map(({ file, loaded }) => [file, loaded.flatMap((one) => listOf(one, names, file))]),
  );
}

function listOf(
  { stackName, listInterfaces }: LoadedTemplate,
  names: ReadonlyMap<GroupId, string>,
  file: string,
): readonly PlacedInterface[] {
  return listInterfaces().map(({ logicalId, type, groupIds, gaps, audit, hasIpv6 }) => {
    const from = `${stackName}/${logicalId}`;
    const groups = groupIds?.map((id) => names.get(id) ?? id) ?? [DEFAULT_GROUP_NAME];
    return {
      shown: { from, type, groups, gaps },
      id: stableId('eni', 'from', from),
      groupIds,
      ...(audit === undefined ? {} : { audit }),
      ...(hasIpv6 === undefined ? {} : { hasIpv6 }),
      origin: { file, line: 0, column: 0, path: `Resources.${logicalId}`, logicalId },
    };
  });
}
