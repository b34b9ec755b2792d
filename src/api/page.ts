/** This file hands out long answers page by page, as EC2's describe calls do: MaxResults and NextToken. */
import { ApiError } from './action.ts';

export interface PageParams {
  readonly MaxResults?: number;
  readonly NextToken?: string;
}

export interface Page<T> {
  readonly items: readonly T[];
  readonly NextToken?: string;
}

export interface PageBounds {
  readonly min: number;
  readonly max: number;
}

/** Source: EC2 API Reference, of most describe calls. */
export const PAGE_BOUNDS: PageBounds = { min: 5, max: 1000 };

/**
 * One page of items that are in the order of their ids. The next one begins behind the last id of this one, so what is
 * made or deleted meanwhile shifts nothing.
 * @param params without MaxResults everything is on one page
 * @throws ApiError for a number or token that is not right
 */
export function pageOf<T>(
  items: readonly T[],
  idOf: (item: T) => string,
  { MaxResults: most, NextToken: token }: PageParams,
  { min, max }: PageBounds = PAGE_BOUNDS,
): Page<T> {
  if (most !== undefined && (most < min || most > max)) {
    throw new ApiError(
      'InvalidParameterValue',
      `Value ( ${most} ) for parameter maxResults is invalid. Expecting a value from ${min} to ${max}.`,
    );
  }
  const after = token === undefined ? undefined : readToken(token);
  const rest = after === undefined ? items : items.filter((item) => idOf(item) > after);
  if (most === undefined || rest.length <= most) return { items: rest };
  const page = rest.slice(0, most);
  return { items: page, NextToken: makeToken(idOf(page[most - 1])) };
}

function makeToken(id: string): string {
  return Buffer.from(JSON.stringify({ after: id })).toString('base64url');
}

function readToken(token: string): string {
  try {
    const read = JSON.parse(Buffer.from(token, 'base64url').toString()) as { after?: unknown };
    if (typeof read.after === 'string') return read.after;
  } catch {
    // Told below.
  }
  throw new ApiError('InvalidNextToken', 'The NextToken is not one that this endpoint gave.');
}
