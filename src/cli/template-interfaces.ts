/** What templates have for the interfaces of a configuration to stand for (`from`), with their groups. */
import type { LoadedTemplate } from '../cloudformation/load-template.ts';
import type { GroupId } from '../policy/model.ts';
import { DEFAULT_GROUP_NAME } from '../policy/texts.ts';
import { tableLines, terminalColumns } from './fit-table.ts';

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

/** By file. To be called when everything else of the templates has been read. */
export function listTemplateInterfaces(
  units: readonly { readonly file: string; readonly loaded: readonly LoadedTemplate[] }[],
): ReadonlyMap<string, readonly TemplateInterface[]> {
  const groups = units.flatMap(({ loaded }) => loaded.flatMap((one) => one.groups));
  const names = new Map(groups.map(({ id, name }): [GroupId, string] => [id, name]));
  return new Map(
    units.map(({ file, loaded }) => [file, loaded.flatMap((one) => listOf(one, names))]),
  );
}

function listOf(
  { stackName, listInterfaces }: LoadedTemplate,
  names: ReadonlyMap<GroupId, string>,
): readonly TemplateInterface[] {
  return listInterfaces().map(({ logicalId, type, groupIds, gaps }) => ({
    from: `${stackName}/${logicalId}`,
    type,
    groups: groupIds?.map((id) => names.get(id) ?? id) ?? [DEFAULT_GROUP_NAME],
    gaps,
  }));
}

/** What `from` takes stays whole; the end of the line is what is cut. */
const COLUMNS = [{ title: 'FROM' }, { title: 'TYPE' }, { title: 'GROUPS' }] as const;
const INDENT = '  ';

/** The same as a table that fits the terminal, or `width`; no lines if there are none. */
export function interfaceLines(
  interfaces: readonly TemplateInterface[],
  width = terminalColumns(),
): readonly string[] {
  if (interfaces.length === 0) return [];
  const rows = interfaces.map(({ from, type, groups, gaps }) => [
    from,
    type.replace(/^AWS::/, ''),
    [...groups, ...(gaps.length === 0 ? [] : [`not known: ${gaps.join('; ')}`])].join(', '),
  ]);
  const inner = width === undefined ? undefined : width - INDENT.length;
  return tableLines(COLUMNS, rows, inner).map((line) => `${INDENT}${line}`);
}
