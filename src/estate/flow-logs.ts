/** Calls on flow logs: CreateFlowLogs for one resource, and DeleteFlowLogs. */
import { DEFAULT_FORMAT, parseFormat } from '../config/flow-log-format.ts';
import type { Checked } from '../policy/refusals.ts';
import type { Tag } from '../policy/tags.ts';
import { newTags, refused, type CallContext } from './calls.ts';
import type { Edit } from './edit.ts';
import { findInterface } from './interfaces.ts';
import type { EstateFlowLog } from './model.ts';
import { findSubnet } from './subnets.ts';
import { findVpc } from './vpcs.ts';

export type NewFlowLog = Omit<
  EstateFlowLog,
  'id' | 'createdAt' | 'tags' | 'declaredAt' | 'format' | 'accountId'
> & {
  /** Undefined: AWS's default format. */
  readonly format: string | undefined;
  readonly tags: readonly Tag[];
};

export function createFlowLog(
  edit: Edit,
  { format = DEFAULT_FORMAT, ...given }: NewFlowLog,
  context: CallContext,
): Checked<EstateFlowLog> {
  const { resourceId } = given;
  const resource = resourceId.startsWith('vpc-')
    ? findVpc(edit, resourceId)
    : resourceId.startsWith('subnet-')
      ? findSubnet(edit, resourceId)
      : findInterface(edit, resourceId);
  if (!resource.ok) return resource;
  const parsed = parseFormat(format);
  if (!parsed.ok) {
    const message = `Invalid field in the provided log format: ${parsed.message}`;
    return refused('InvalidParameterValue', message, 'docs/flow-logs.md lists the fields');
  }
  const tags = newTags(given.tags);
  if (!tags.ok) return tags;
  const { accountId } = context;
  const same = edit.estate
    .list('flow-logs')
    .find(
      (one) =>
        one.resourceId === resourceId &&
        one.traffic === given.traffic &&
        one.destination === given.destination &&
        one.logGroupName === given.logGroupName,
    );
  if (same !== undefined) {
    const message = `There is an existing Flow Log with the same configuration and log destination: ${same.id}`;
    return refused('FlowLogAlreadyExists', message);
  }
  // Two that are equal can't be made at once, nor one of what is deleted meanwhile.
  edit.use(resourceId);
  const id = context.newId('fl');
  const createdAt = new Date().toISOString();
  const value: EstateFlowLog = { ...given, id, format, accountId, createdAt, tags: tags.value };
  edit.write('flow-logs', id, value);
  return { ok: true, value };
}

export function deleteFlowLog(edit: Edit, id: string): Checked<EstateFlowLog> {
  const found = edit.read('flow-logs', id);
  if (found === undefined)
    return refused('InvalidFlowLogId.NotFound', `The flow log ID '${id}' does not exist`);
  edit.erase('flow-logs', id);
  return { ok: true, value: found };
}
