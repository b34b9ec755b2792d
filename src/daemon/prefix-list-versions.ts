/**
 * This file counts the versions of prefix lists as AWS does: 1 at the start, and one more with every change of the
 * entries.
 */
import type { PolicyModel, PrefixListId } from '../policy/model.ts';
import { changedEntries } from './changes.ts';

export class PrefixListVersions {
  /** Versions of the lists that have changed. */
  private readonly versions = new Map<PrefixListId, number>();

  of(id: PrefixListId): number {
    return this.versions.get(id) ?? 1;
  }

  note(before: PolicyModel, after: PolicyModel): void {
    for (const { id } of changedEntries(before, after)) this.versions.set(id, this.of(id) + 1);
  }
}
