/** Actions on tags: CreateTags, DeleteTags, DescribeTags. */
import { createTags, deleteTags } from '../../estate/tags.ts';
import type { Estate } from '../../estate/estate.ts';
import type { Tags } from '../../estate/model.ts';
import type { Action } from '../action.ts';
import { managedAction, type DryRunParams, type Managed } from '../managed.ts';
import { pageOfMatching, requiredList, type DescribeParams } from './describe.ts';
import { tagOutput } from './group-output.ts';

interface TagParams extends DryRunParams {
  readonly Resources?: readonly string[];
  readonly Tags?: readonly { readonly Key?: string; readonly Value?: string }[];
}

interface Tagged {
  readonly id: string;
  readonly type: string;
  readonly tags: Tags;
}

export function tagActions(managed: Managed): readonly Action[] {
  return [
    managedAction<TagParams>(managed, 'CreateTags', 'write', async (my, params) => {
      const added = requiredList(params.Tags, 'Tag').map(
        ({ Key: key = '', Value: value = '' }) => ({
          key,
          value,
        }),
      );
      const { revision } = await my.change(params, (edit) =>
        createTags(edit, requiredList(params.Resources, 'ResourceId'), added),
      );
      return { output: {}, revision };
    }),
    managedAction<TagParams>(managed, 'DeleteTags', 'write', async (my, params) => {
      const removed = (params.Tags ?? []).map(({ Key: key = '', Value: value }) => ({
        key,
        value,
      }));
      const { revision } = await my.change(params, (edit) =>
        deleteTags(edit, requiredList(params.Resources, 'ResourceId'), removed),
      );
      return { output: {}, revision };
    }),
    managedAction<DescribeParams>(managed, 'DescribeTags', 'read', async (my, params) => {
      const rows = listTagged(my.estate).flatMap(({ id, type, tags }) =>
        tagOutput(tags).map((tag) => ({ ...tag, ResourceId: id, ResourceType: type })),
      );
      const { items, NextToken } = pageOfMatching(rows, params, {
        idOf: ({ ResourceId, Key }) => `${ResourceId} ${Key}`,
        tagsOf: ({ Key: key, Value: value }) => [{ key, value }],
        fields: {
          key: ({ Key }) => [Key],
          value: ({ Value }) => [Value],
          'resource-id': ({ ResourceId }) => [ResourceId],
          'resource-type': ({ ResourceType }) => [ResourceType],
        },
      });
      return { output: { Tags: items, NextToken } };
    }),
  ];
}

function listTagged(estate: Estate): readonly Tagged[] {
  return [
    ...estate.list('vpcs').map(({ id, tags }) => ({ id, type: 'vpc', tags })),
    ...estate.list('subnets').map(({ id, tags }) => ({ id, type: 'subnet', tags })),
    ...estate.list('interfaces').map(({ id, tags }) => ({ id, type: 'network-interface', tags })),
    ...estate.list('prefix-lists').map(({ list, tags }) => ({
      id: list.id,
      type: 'prefix-list',
      tags,
    })),
    ...estate
      .list('groups')
      .flatMap(({ group, tags, ruleTags }) => [
        { id: group.id, type: 'security-group', tags },
        ...[...ruleTags].map(([id, own]) => ({ id, type: 'security-group-rule', tags: own })),
      ]),
  ];
}
