/**
 * Released addresses: which may be given out again, and which first, and how hosts learn of them.
 *
 * Theory of operation. An address that an interface loses may still be that interface's to a host that has not heard of
 * it: its rules admit the former owner by that address, and would admit the next one. So the row of the address stays,
 * as a release. It may be given out again when every host has acknowledged the revision of the release
 * (`hosts/HOST/applied`), or has left, or was forgotten. A host that was killed, or can't reach the store, counts as
 * one that has not heard of it: it may run, and nobody can tell. Only of a host that fences one can (fenced-hosts.ts).
 * But what its own file declares goes on there, and a group of that may have members of the store.
 *
 * The release is a row of the commit that takes the address from the interface, so its revision is one that hosts
 * acknowledge. Where the owner of a lease gives an address back later, the row keeps the revision of the former.
 *
 * Of those that may be given out, the least recently released goes first, after those that were never used. So most
 * are as old as can be. Releases beyond RELEASES_MAX are forgotten, the oldest first, once all hosts know of them.
 *
 * Rules are not all by which an address is let in: a host tracks flows with it. So a release is also a row that each
 * host holds, one for all that a commit releases (`desired/released/…`). Before a host acknowledges the row's revision,
 * it ends the flows with these addresses (daemon/releases.ts). An address that goes from one interface to another in
 * one commit has such a row, too; an interface that only moves to another host or to other groups has none, and its
 * peers' flows go on. Hosts hold at most TOLD_MAX of these rows, and somewhat more while many are released at once. The
 * oldest go when more come, whoever has seen them: `desired/releases-forgotten` says up to which revision, and a host
 * that knows less ends all flows with addresses that interfaces may have.
 */
import { formatAddress, type Address } from '../addr/address.ts';
import type { VpcId } from '../policy/model.ts';
import type { Checked } from '../policy/refusals.ts';
import { refused } from './calls.ts';
import type { Edit } from './edit.ts';
import type { Estate } from './estate.ts';
import { isFenced } from './fenced-hosts.ts';
import { addressKey, RELEASES_FORGOTTEN } from './keys.ts';
import { forgottenText, isRelease, releasedText, releaseText } from './release-text.ts';

const RELEASES_MAX = 10_000;
/** So many are forgotten with one release. */
const FORGOTTEN_AT_ONCE = 2;

/** What each host holds, at some 300 bytes. A host that missed more than these has been away for long. */
export const TOLD_MAX = 2000;
/** So many go at once, since two commits that write `desired/releases-forgotten` can't both succeed. */
const UNTOLD_AT_ONCE = 8;
/** A commit has 127 rows, and most of them are for what it is about. */
const UNTOLD_MOST = 32;

/**
 * Takes an address from who has it.
 * @param since the revision since which no interface has it; undefined: it is taken from one
 */
export function release(edit: Edit, vpcId: VpcId, address: string, since = 0): void {
  const { estate } = edit;
  edit.put(addressKey(vpcId, address), releaseText(since));
  // Hosts were told when the interface lost it.
  if (since === 0) tellHosts(edit, vpcId, address);
  if (estate.releases.size < RELEASES_MAX) return;
  let left = FORGOTTEN_AT_ONCE;
  for (const [key, revision] of estate.releases) {
    if (left-- === 0 || hostsBehind(estate, revision).length > 0) return;
    if (isRelease(edit.peekText(key))) edit.remove(key);
  }
}

/** Tells each host that an interface loses an address. */
function tellHosts(edit: Edit, vpcId: VpcId, address: string): void {
  const own = edit.releasedKey;
  edit.put(own, releasedText(edit.peekText(own), vpcId, address));
  const { released, releasesForgotten } = edit.estate;
  const isForgetting = edit.peekText(RELEASES_FORGOTTEN) !== edit.estate.textOf(RELEASES_FORGOTTEN);
  if (released.size < TOLD_MAX || isForgetting) return;
  let left = Math.min(UNTOLD_MOST, released.size - TOLD_MAX + UNTOLD_AT_ONCE);
  let newest = releasesForgotten;
  for (const [key, revision] of released) {
    if (left-- === 0) break;
    edit.remove(key);
    newest = Math.max(newest, revision);
  }
  edit.put(RELEASES_FORGOTTEN, forgottenText(newest));
}

/** Hosts that have not acknowledged a revision, and may forward by an earlier one. */
export function hostsBehind(estate: Estate, revision: number): readonly string[] {
  return [...estate.applied()].flatMap(([host, applied]) =>
    applied.revision >= revision || (isFenced(estate, host) && !declaresAny(estate, host))
      ? []
      : [host],
  );
}

/** Whether a file of the host declares interfaces. */
function declaresAny(estate: Estate, host: string): boolean {
  return estate.list('interfaces').some(({ declaredAt }) => declaredAt?.host === host);
}

/** Refuses an address that is free, as long as a host may take it for its former owner's. The call is made again. */
export function refuseEarly(
  edit: Edit,
  address: Address,
  revision: number,
): Checked<never> | undefined {
  const late = hostsBehind(edit.estate, revision);
  if (late.length === 0) return undefined;
  edit.await(revision);
  const hosts = late.length === 1 ? `the host ${late[0]} has` : `the hosts ${late.join(', ')} have`;
  const message = `Address ${formatAddress(address)} was released, and ${hosts} not acknowledged that yet.`;
  const hint =
    'until then its former owner may be let in by it: start secgroupd there, or have the host forgotten';
  return refused('InvalidIPAddress.InUse', message, hint);
}
