/** Actions on managed prefix lists: create, modify, restore, delete, describe, their entries and who names them. */
import { formatCidr } from '../../addr/address.ts';
import { Edit } from '../../estate/edit.ts';
import type { EstatePrefixList } from '../../estate/model.ts';
import {
  createEstatePrefixList,
  deletePrefixList,
  findPrefixList,
  modifyEstatePrefixList,
  restoreVersion,
} from '../../estate/prefix-lists.ts';
import { ApiError, dryRunSucceeded, type Action } from '../action.ts';
import { checked, managedAction, type DryRunParams, type Managed } from '../managed.ts';
import { pageOf, type Page, type PageBounds, type PageParams } from '../page.ts';
import { describe, refuseUnserved, required, type DescribeParams } from './describe.ts';
import { arnOf, tagOutput } from './group-output.ts';
import { tagsOf, type TagSpecification } from './rule-params.ts';

interface EntryParams {
  readonly Cidr?: string;
  readonly Description?: string;
}

interface CreateParams extends DryRunParams {
  readonly PrefixListName?: string;
  readonly MaxEntries?: number;
  readonly AddressFamily?: string;
  readonly Entries?: readonly EntryParams[];
  readonly TagSpecifications?: readonly TagSpecification[];
  readonly ClientToken?: string;
}

interface ListParams extends DryRunParams {
  readonly PrefixListId?: string;
}

interface ModifyParams extends ListParams {
  readonly CurrentVersion?: number;
  readonly PrefixListName?: string;
  readonly AddEntries?: readonly EntryParams[];
  readonly RemoveEntries?: readonly Pick<EntryParams, 'Cidr'>[];
  readonly MaxEntries?: number;
}

interface RestoreParams extends ListParams {
  readonly PreviousVersion?: number;
  readonly CurrentVersion?: number;
}

interface EntriesParams extends ListParams, PageParams {
  readonly TargetVersion?: number;
}

interface DescribeListsParams extends DescribeParams {
  readonly PrefixListIds?: readonly string[];
}

/** Source: EC2 API Reference, DescribeManagedPrefixLists, GetManagedPrefixListEntries and -Associations. */
const LIST_BOUNDS: PageBounds = { min: 1, max: 100 };
const ASSOCIATION_BOUNDS: PageBounds = { min: 5, max: 255 };
/** Places of entries as texts of one length, which are in the order of the numbers. */
const PLACE_DIGITS = 6;

export function prefixListActions(managed: Managed): readonly Action[] {
  return [...changes(managed), ...reads(managed)];
}

function changes(managed: Managed): readonly Action[] {
  return [
    managedAction<CreateParams>(managed, 'CreateManagedPrefixList', 'write', async (my, params) => {
      const given = {
        name: params.PrefixListName,
        addressFamily: params.AddressFamily,
        maxEntries: params.MaxEntries,
        entries: entryTexts(params.Entries),
        tags: tagsOf(params.TagSpecifications, 'prefix-list'),
      };
      const { value, revision } = await my.changeOnce(
        'CreateManagedPrefixList',
        params,
        (edit) => {
          const made = createEstatePrefixList(edit, given, my.context);
          return made.ok ? { ok: true, value: made.value.list.id } : made;
        },
        (edit, id) => edit.read('prefix-lists', id),
      );
      return { output: { PrefixList: listOutput(value, my) }, revision };
    }),
    managedAction<ModifyParams>(managed, 'ModifyManagedPrefixList', 'write', async (my, params) => {
      const id = required(params.PrefixListId, 'PrefixListId');
      refuseUnserved(params, ['IpamPrefixListResolverSyncEnabled']);
      const change = {
        currentVersion: params.CurrentVersion,
        name: params.PrefixListName,
        maxEntries: params.MaxEntries,
        add: entryTexts(params.AddEntries),
        remove: (params.RemoveEntries ?? []).map(({ Cidr: cidr = '' }) => cidr),
      };
      const { value, revision } = await my.change(params, (edit) =>
        modifyEstatePrefixList(edit, id, change, my.context),
      );
      return { output: { PrefixList: listOutput(value, my) }, revision };
    }),
    managedAction<RestoreParams>(
      managed,
      'RestoreManagedPrefixListVersion',
      'write',
      async (my, params) => {
        const id = required(params.PrefixListId, 'PrefixListId');
        const version = required(params.PreviousVersion, 'PreviousVersion');
        const { value, revision } = await my.change(params, (edit) =>
          restoreVersion(edit, id, version, params.CurrentVersion),
        );
        return { output: { PrefixList: listOutput(value, my) }, revision };
      },
    ),
    managedAction<ListParams>(managed, 'DeleteManagedPrefixList', 'write', async (my, params) => {
      const id = required(params.PrefixListId, 'PrefixListId');
      const { value, revision } = await my.change(params, (edit) => deletePrefixList(edit, id));
      const output = { PrefixList: { ...listOutput(value, my), State: 'delete-complete' } };
      return { output, revision };
    }),
  ];
}

function reads(managed: Managed): readonly Action[] {
  return [
    managedAction<DescribeListsParams>(
      managed,
      'DescribeManagedPrefixLists',
      'read',
      async (my, params) => {
        const { items, NextToken } = listsAsked(my, params);
        return { output: { PrefixLists: items.map((one) => listOutput(one, my)), NextToken } };
      },
    ),
    managedAction<DescribeListsParams>(
      managed,
      'DescribePrefixLists',
      'read',
      async (my, params) => {
        const { items, NextToken } = listsAsked(my, params);
        const lists = items.map(({ list: { id, name, entries } }) => ({
          PrefixListId: id,
          PrefixListName: name,
          Cidrs: entries.map(({ cidr }) => formatCidr(cidr)),
        }));
        return { output: { PrefixLists: lists, NextToken } };
      },
    ),
    managedAction<EntriesParams>(
      managed,
      'GetManagedPrefixListEntries',
      'read',
      async (my, params) => {
        const entries = entriesOf(listAsked(my, params), params.TargetVersion).map(
          ({ cidr, description }) => ({
            Cidr: formatCidr(cidr),
            ...(description === '' ? {} : { Description: description }),
          }),
        );
        const places = entries.map((_, i) => String(i).padStart(PLACE_DIGITS, '0'));
        const { items, NextToken } = pageOf(places, (place) => place, params, LIST_BOUNDS);
        if (params.DryRun === true) throw dryRunSucceeded();
        return { output: { Entries: items.map((place) => entries[Number(place)]), NextToken } };
      },
    ),
    managedAction<ListParams & PageParams>(
      managed,
      'GetManagedPrefixListAssociations',
      'read',
      async (my, params) => {
        const { list } = listAsked(my, params);
        const users = my.estate.groupsThatName(list.id).map(({ group }) => group.id);
        const { items, NextToken } = pageOf(users.sort(), (id) => id, params, ASSOCIATION_BOUNDS);
        if (params.DryRun === true) throw dryRunSucceeded();
        const PrefixListAssociations = items.map((id) => ({
          ResourceId: id,
          ResourceOwner: my.accountId,
        }));
        return { output: { PrefixListAssociations, NextToken } };
      },
    ),
  ];
}

function listAsked({ estate }: Managed, { PrefixListId: id }: ListParams): EstatePrefixList {
  return checked(findPrefixList(new Edit(estate), required(id, 'PrefixListId')));
}

/** @throws ApiError if there is no such version, or no longer */
function entriesOf(
  { list, former }: EstatePrefixList,
  version = list.version,
): EstatePrefixList['list']['entries'] {
  const entries = version === list.version ? list.entries : former.get(version);
  if (entries !== undefined) return entries;
  const message = `The prefix list '${list.id}' has no version ${version}`;
  throw new ApiError('InvalidParameterValue', message);
}

function listsAsked(managed: Managed, params: DescribeListsParams): Page<EstatePrefixList> {
  return describe<EstatePrefixList>(managed, params, {
    ids: ['prefixListIds', params.PrefixListIds],
    all: () => managed.estate.list('prefix-lists'),
    find: findPrefixList,
    idOf: ({ list }) => list.id,
    tagsOf: ({ tags }) => tags,
    fields: {
      'owner-id': () => [managed.accountId],
      'prefix-list-id': ({ list }) => [list.id],
      'prefix-list-name': ({ list }) => [list.name],
    },
    bounds: LIST_BOUNDS,
  });
}

function listOutput({ list, lastChange, tags }: EstatePrefixList, managed: Managed): object {
  return {
    PrefixListId: list.id,
    PrefixListName: list.name,
    PrefixListArn: arnOf(managed, 'prefix-list', list.id),
    AddressFamily: `IPv${list.family}`,
    // A call that answers is in force, so nothing is ever in progress.
    State: `${lastChange}-complete`,
    MaxEntries: list.maxEntries,
    Version: list.version,
    OwnerId: managed.accountId,
    Tags: tagOutput(tags),
  };
}

function entryTexts(
  entries: readonly EntryParams[] | undefined,
): readonly { readonly cidr: string; readonly description: string | undefined }[] {
  return (entries ?? []).map(({ Cidr: cidr = '', Description: description }) => ({
    cidr,
    description,
  }));
}
