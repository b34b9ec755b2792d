/**
 * This file reads the template that a TemplateURL names.
 *
 * Nothing is fetched: an address that a client gives could be one that only this server reaches. The address must be
 * that of an object of the assets bucket, as the client itself calls this server, and the object is read from the
 * store.
 */
import type { Caller } from '../action.ts';
import { assetsBucket } from '../bootstrap.ts';
import { shown } from '../form.ts';
import type { Managed } from '../managed.ts';
import { findObject } from '../s3/objects.ts';
import { invalid } from '../stacks/template-checks.ts';

/** So that the template, and what a deploy writes beside it, fit into a commit of the store. */
export const TEMPLATE_OBJECT_BYTES_MAX = 256 << 10;
const UTF8 = new TextDecoder('utf-8', { fatal: true });

/** @throws ApiError if it is not in the bucket, or no text */
export function templateAt(my: Managed, url: string, { accountId, host }: Caller): string {
  const bucket = assetsBucket(accountId, my.region);
  const key = keyIn(url, bucket, host);
  if (key === undefined)
    throw invalid(
      `TemplateURL must be a supported URL. (Nothing is fetched here: upload the template to s3://${bucket} of this endpoint, and name it as http://${shown(host)}/${bucket}/KEY, or give it as TemplateBody)`,
    );
  const found = findObject(my.estate, key);
  if (found === undefined)
    throw invalid(`S3 error: The specified key does not exist: ${shown(key)}`);
  if (found.body.length > TEMPLATE_OBJECT_BYTES_MAX)
    throw invalid(`Template may not exceed ${TEMPLATE_OBJECT_BYTES_MAX} bytes in size.`);
  try {
    return UTF8.decode(found.body);
  } catch {
    throw invalid('Template format error: the template is not UTF-8');
  }
}

/** The key that an address names in a bucket of this server; undefined: it is another address. */
function keyIn(url: string, bucket: string, host: string): string | undefined {
  let key: string;
  try {
    const { protocol, username, password, host: named, pathname, search, hash } = new URL(url);
    const isPlain = username + password + search + hash === '';
    if (!isPlain || (protocol !== 'http:' && protocol !== 'https:')) return undefined;
    const own = new URL(`${protocol}//${host}`).host;
    const path = decodeURIComponent(pathname);
    if (named === own && path.startsWith(`/${bucket}/`)) key = path.slice(bucket.length + 2);
    else if (named === `${bucket}.${own}`) key = path.slice(1);
    else return undefined;
  } catch {
    return undefined;
  }
  return key === '' ? undefined : key;
}
