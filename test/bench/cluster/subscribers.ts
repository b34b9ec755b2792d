/**
 * Hosts that are simulated: `subscribers.js URL FIRST COUNT`. Each follows its part of the estate by a connection of its
 * own, as a daemon does (EstateFollower with HostPart), and notes when it has taken in which revision.
 */
import { EstateFollower } from '../../../src/estate/estate-follower.ts';
import { HostPart } from '../../../src/estate/host-part.ts';
import { openStore } from '../../../src/store/open-store.ts';
import { GUARD_MS } from '../../support/guard-time.ts';
import { answer } from './child.ts';
import { nowMs } from './clock.ts';
import { hostName } from './rows.ts';

export type SubscribersQuestion =
  /** Closes what is open, and begins anew, all at once. Answers when each has this revision. */
  | { readonly kind: 'start'; readonly revision: number }
  /** Answers with pairs of revision and time, and forgets them. */
  | { readonly kind: 'seen' }
  /** Answers when each has this revision. */
  | { readonly kind: 'reach'; readonly revision: number };

const [url, first, count] = process.argv.slice(2);
const hosts = Array.from({ length: Number(count) }, (_, i) => hostName(Number(first) + i));
let followers: readonly EstateFollower[] = [];
let seen: number[] = [];

async function start(host: string): Promise<EstateFollower> {
  for (;;) {
    try {
      const store = await openStore(url, () => undefined);
      const scope = new HostPart(host);
      const follower = new EstateFollower({ store, scope, onTrouble: () => undefined });
      follower.listen(() => seen.push(follower.estate.revision, nowMs()));
      follower.start(false);
      return follower;
    } catch {
      // It is tried again, as a daemon does.
    }
  }
}

async function reach(revision: number): Promise<void> {
  const isThere = await Promise.all(followers.map((one) => one.reach(revision, GUARD_MS)));
  if (isThere.includes(false)) throw new Error(`not each host has reached ${revision}`);
}

answer(async (question: SubscribersQuestion) => {
  switch (question.kind) {
    case 'start':
      await Promise.all(followers.map((follower) => follower.close()));
      followers = await Promise.all(hosts.map(start));
      await reach(question.revision);
      return undefined;
    case 'reach':
      await reach(question.revision);
      return undefined;
    case 'seen': {
      const said = Float64Array.from(seen);
      seen = [];
      return said;
    }
  }
});
