/**
 * Checks and changes the tags of a resource, as CreateTags, DeleteTags and the TagSpecification of other calls do.
 * The functions are pure. Tags keep their order. Source: Amazon EC2 User Guide, "Tag your Amazon EC2 resources"; EC2
 * API Reference, Tag. The sentences are ours.
 */
import { makeRefusal, unlessRefused, type Checked, type Refusal } from './refusals.ts';

export interface Tag {
  readonly key: string;
  readonly value: string;
}

/** The most tags of a resource. Tags that begin with `aws:` don't count. */
export const TAGS_MAX = 50;

/** From the API Reference, Tag. The guide says 128; the smaller number satisfies both. */
const KEY_CHARS_MAX = 127;
const VALUE_CHARS_MAX = 256;

/** AWS's services, such as CloudFormation, set such tags. Users can't. */
const RESERVED_PREFIX = 'aws:';

/** Adds tags. They replace tags with the same key; upper and lower case differ. */
export function addTags(tags: readonly Tag[], added: readonly Tag[]): Checked<readonly Tag[]> {
  const refusals = added.flatMap(checkTag);
  const seen = new Set<string>();
  for (const { key } of added) {
    if (seen.has(key)) {
      const message = `The tag key '${key}' must not appear multiple times`;
      refusals.push(makeRefusal('InvalidParameterValue', message));
    }
    seen.add(key);
  }
  const merged = new Map([...tags, ...added].map(({ key, value }) => [key, value]));
  const counted = [...merged.keys()].filter((key) => !isReserved(key)).length;
  if (counted > TAGS_MAX) {
    const message = `The resource would have ${counted} tags, more than ${TAGS_MAX}`;
    refusals.push(makeRefusal('TagLimitExceeded', message));
  }
  return unlessRefused(
    [...merged].map(([key, value]) => ({ key, value })),
    refusals,
  );
}

/** Removes tags; a tag with a value only if it has that value. As in AWS, removing a missing tag is no mistake. */
export function removeTags(
  tags: readonly Tag[],
  removed: readonly { readonly key: string; readonly value?: string | undefined }[],
): Checked<readonly Tag[]> {
  const refusals = removed.flatMap(({ key }) => checkReserved(key));
  const kept = tags.filter(
    (tag) =>
      !removed.some(
        ({ key, value }) => key === tag.key && (value === undefined || value === tag.value),
      ),
  );
  return unlessRefused(kept, refusals);
}

function checkTag({ key, value }: Tag): readonly Refusal[] {
  const refusals: Refusal[] = [...checkReserved(key)];
  if (key === '' || key.length > KEY_CHARS_MAX) {
    const message = `Value (${key}) for parameter Key is invalid. A tag key has 1 to ${KEY_CHARS_MAX} characters.`;
    refusals.push(makeRefusal('InvalidParameterValue', message));
  }
  if (value.length > VALUE_CHARS_MAX) {
    const message = `Value (${value}) for parameter Value is invalid. A tag value has at most ${VALUE_CHARS_MAX} characters.`;
    refusals.push(makeRefusal('InvalidParameterValue', message));
  }
  return refusals;
}

function checkReserved(key: string): readonly Refusal[] {
  if (!isReserved(key)) return [];
  const message = `Value (${key}) for parameter Key is invalid. Tag keys that begin with 'aws:' are reserved.`;
  return [makeRefusal('InvalidParameterValue', message)];
}

/** Whether AWS reserves the key: it does so in upper and lower case. */
function isReserved(key: string): boolean {
  return key.toLowerCase().startsWith(RESERVED_PREFIX);
}
