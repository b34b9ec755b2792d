/** This file answers describe calls: what has the ids, or all; what the filters match; by id, page by page. */
import { Edit } from '../../estate/edit.ts';
import type { Tags } from '../../estate/model.ts';
import type { Checked } from '../../policy/refusals.ts';
import { ApiError, dryRunSucceeded } from '../action.ts';
import { filterTest, type Filter, type FilterFields } from '../filters.ts';
import { checked, type DryRunParams, type Managed } from '../managed.ts';
import { pageOf, type Page, type PageBounds, type PageParams } from '../page.ts';
import { tagOutput } from './group-output.ts';

export interface DescribeParams extends DryRunParams, PageParams {
  readonly Filters?: readonly Filter[];
}

/** How the items of a describe call are told apart, filtered and paged. */
export interface Paged<T> {
  readonly idOf: (item: T) => string;
  readonly tagsOf: (item: T) => Tags;
  readonly fields: FilterFields<T>;
  readonly bounds?: PageBounds;
}

/** What a describe call is about. */
export interface Described<T> extends Paged<T> {
  /** The ids that are asked for, by the name of their parameter; undefined: all there are. */
  readonly ids: readonly [parameter: string, ids: readonly string[] | undefined];
  readonly all: () => readonly T[];
  /** What has an id, or AWS's refusal. */
  readonly find: (edit: Edit, id: string) => Checked<T>;
}

/** @throws ApiError for what is not there, filters that are not known, or a page that can't be */
export function describe<T>(
  { estate }: Pick<Managed, 'estate'>,
  params: DescribeParams,
  { ids: [parameter, ids], all, find, ...paged }: Described<T>,
): Page<T> {
  if (ids !== undefined && params.MaxResults !== undefined) {
    const message = `The parameter ${parameter} cannot be used with the parameter maxResults`;
    throw new ApiError('InvalidParameterCombination', message);
  }
  const edit = new Edit(estate);
  const chosen = ids === undefined ? all() : [...new Set(ids)].map((id) => checked(find(edit, id)));
  return pageOfMatching(chosen, params, paged);
}

/**
 * What the filters match of some items, by id, page by page.
 * @throws ApiError for filters that are not known, a page that can't be, or a dry run in which all was well
 */
export function pageOfMatching<T>(
  items: readonly T[],
  params: DescribeParams,
  { idOf, tagsOf, fields, bounds }: Paged<T>,
): Page<T> {
  const isAsked = filterTest(params.Filters, fields, (item) => tagOutput(tagsOf(item)));
  const found = items.filter(isAsked).sort((a, b) => (idOf(a) < idOf(b) ? -1 : 1));
  const page = pageOf(found, idOf, params, bounds);
  if (params.DryRun === true) throw dryRunSucceeded();
  return page;
}

/** A parameter that must be given. @throws ApiError */
export function required<T>(value: T | undefined, name: string): T {
  if (value !== undefined) return value;
  throw new ApiError('MissingParameter', `The request must contain the parameter ${name}`);
}

/** A list with something in it. @throws ApiError (MissingParameter) */
export function requiredList<T>(values: readonly T[] | undefined, name: string): readonly T[] {
  return required(values?.length === 0 ? undefined : values, name);
}

/**
 * Refuses parameters that EC2 has and that mean nothing here, so that nobody relies on them.
 * @throws ApiError
 */
export function refuseUnserved(params: object, names: readonly string[]): void {
  const given = params as Readonly<Record<string, unknown>>;
  for (const name of names) {
    const value = given[name];
    if (value === undefined || value === false || (Array.isArray(value) && value.length === 0))
      continue;
    throw new ApiError('InvalidParameterValue', `The parameter ${name} is not served here`);
  }
}
