/** Versions of prefix lists: 1 at the start, one more with every change, as AWS counts them. */
import type { PolicyModel, PrefixListId } from '../policy/model.ts';
import type { Changes } from './changes.ts';

export class PrefixListVersions {
  /** Of the lists that have changed. */
  private readonly versions = new Map<PrefixListId, number>();

  of(id: PrefixListId): number {
    return this.versions.get(id) ?? 1;
  }

  /** @param after the model that the changes led to */
  note({ prefixLists }: Changes, after: PolicyModel): void {
    for (const { id, name } of after.prefixLists.values())
      if (prefixLists.changed.includes(name)) this.versions.set(id, this.of(id) + 1);
  }
}
