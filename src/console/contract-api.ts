/**
 * This file has the types of what secgroup-api's console has beyond that of sgctl: sign-in by a key, applying a draft,
 * who changed what, and the hosts. contract.ts exports them with the rest.
 *
 * The page signs one request with the key's secret, which it sends to nobody, and gets a token for it. The token holds
 * for a quarter of an hour. `POST renew` gives another one while the old one holds, until `endsMs`. There is nothing to
 * end at the server: signing out is to forget the token.
 *
 * Rights are those of the key: a key that may only read sees everything, and applies nothing.
 */

/** `GET sign-in`, without a token: how one is had. */
export type SignInWay =
  /** sgctl console: the address that it has printed has the token. */
  | { readonly how: 'address' }
  /** secgroup-api: a key signs. `region` and `service` are those of the signature's scope. */
  | { readonly how: 'key'; readonly region: string; readonly service: string };

/**
 * `POST sign-in`, without a token: `{}` as the body, Content-Type application/json, signed with version 4 by a key, or
 * by a session that AssumeRole gave. Headers: `x-amz-date`, `x-amz-content-sha256` (the hash of the body),
 * `Authorization: AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`, and of a session
 * `x-amz-security-token`. Signed are `content-type`, `host` (`location.host`) and all `x-amz-…`. The path that is
 * signed is `/api/sign-in`.
 *
 * `POST renew`, with a token and `{}`: the same answer.
 *
 * Failures: 401 with `code` `wrong-signature` (no such key, or not signed with its secret: which of them is not told),
 * `wrong-time` (this machine's clock and the server's are more than 15 minutes apart), `expired`; 403 `not-allowed` (a
 * key of a host); 429 `too-fast`.
 */
export interface SignedIn {
  readonly token: string;
  /** When the token ends, unless it is renewed before: ms since 1970, by the server's clock. */
  readonly expiresMs: number;
  /** When no renewal helps any more. */
  readonly endsMs: number;
  /** The server's clock now: `expiresMs` is so far from the reader's. */
  readonly nowMs: number;
  readonly key: SignedInKey;
}

export interface SignedInKey {
  /** As the key was called by who made it. */
  readonly name: string;
  readonly accessKeyId: string;
  /** `arn:aws:iam::ACCOUNT:user/NAME`, or that of the session's role. */
  readonly arn: string;
  /** `read`: nothing can be changed. */
  readonly policy: 'read' | 'write';
}

/** What became of applying, or why it can't be: in the answer to `POST draft`, where About.mayApply is true. */
export type ApplyOffer =
  | {
      readonly isPossible: true;
      /** Stands for this draft, the state that it was compared with, and the key. It holds for 15 minutes. */
      readonly preview: string;
      /** What would be called, in this order, all in one commit. Empty: the draft is what there is. */
      readonly calls: readonly ApplyCall[];
    }
  /** A sentence: the group is declared in a file, the key may only read, a rule can't be in the store. */
  | { readonly isPossible: false; readonly why: string };

export interface ApplyCall {
  /** `AuthorizeSecurityGroupIngress`: the key must have the right to call it. */
  readonly action: string;
  /** The rules that it is about, as texts; the first 100. */
  readonly rules: readonly string[];
  readonly ruleCount: number;
}

/**
 * `POST apply`: a GroupDraft with the `preview` of the answer about the same draft.
 *
 * Failures: 409 with `code` `changed-since` (groups, lists or interfaces are not as they were at the preview, or the
 * draft is not the one of the preview: make a preview again), or AWS's code of a refusal, whose sentence is `error`;
 * 403 `not-allowed`; 503 `ServiceUnavailable`: a host could not put it in force or did not answer in time, and it was
 * taken back, as the sentence says.
 */
export interface ApplyAnswer {
  readonly revision: number;
  /** `awaited`: the live hosts have it in force, but for those in `behind`. `kept`: the server waits for no host. */
  readonly enforcement: 'awaited' | 'kept';
  /** Hosts that it concerns and that don't live. */
  readonly away: readonly string[];
  /** Hosts that live and don't have it in force yet. */
  readonly behind: readonly string[];
  readonly calls: readonly ApplyCall[];
}

/** What one host says of a draft. Texts are for people. */
export interface DraftHost {
  readonly host: string;
  /** Why it does not say anything; then the rest is absent. */
  readonly why?: string;
  readonly impact?: {
    readonly kept: number;
    readonly cut: number;
    /** How many of the kept ones could not be opened again. */
    readonly refusedAnew: number;
    /** The rules that had admitted the cut ones, each with how many. */
    readonly cutBy: readonly string[];
    /** The first of each. */
    readonly cutConnections: readonly string[];
    readonly refusedAnewConnections: readonly string[];
  };
}

/** `GET changes?group=ID&limit=N`: the newest first; limit: default 100, at most 500. `group` may be left out. */
export interface ChangesAnswer {
  readonly changes: readonly ConsoleChange[];
  /** How many changes are kept at most: of what was before them nothing is known. */
  readonly keptAtMost: number;
  /** There were more than are shown or kept. */
  readonly hasMore: boolean;
}

export interface ConsoleChange {
  /** Of the store, with which it came. */
  readonly revision: number;
  readonly timeMs: number;
  readonly who: {
    readonly name: string;
    readonly accessKeyId: string;
    readonly arn: string;
  };
  /** By which actions: `AuthorizeSecurityGroupIngress`, `CreateStack`. */
  readonly actions: readonly string[];
  readonly by: 'api' | 'console';
  readonly groups: readonly ChangedGroup[];
  /** How many of other things it made, changed or deleted, by what they are: `interfaces`, `vpcs`, `subnets`. */
  readonly others: readonly { readonly kind: string; readonly count: number }[];
}

export interface ChangedGroup {
  readonly id: string;
  /** As it was called then. */
  readonly name: string;
  readonly what: 'made' | 'deleted' | 'changed';
  /** Rules as texts, the first 100 of each: `ingress tcp 443 from 10.0.0.0/8`. */
  readonly added: readonly string[];
  readonly addedCount: number;
  readonly removed: readonly string[];
  readonly removedCount: number;
  /**
   * Whether `GET draft?group=ID&before=REVISION` and `…&revision=REVISION` can be had: the group as it was before this
   * change, and after it.
   */
  readonly mayGoBack: boolean;
}

/**
 * `GET draft?group=ID&revision=N`: a draft with the rules that the group had at that revision; `&before=N`: just before
 * it. It is a draft as any other: previewed, and applied as the group's rules from now to then. Failures: 404 (there
 * was no such group), 410 (that past is not kept).
 */

/** `GET hosts`. */
export interface HostsAnswer {
  /** The newest revision that changed something which hosts enforce. */
  readonly revision: number;
  /** The server's clock: ages are from here. */
  readonly nowMs: number;
  readonly hosts: readonly ConsoleHost[];
}

export interface ConsoleHost {
  readonly host: string;
  /** `left`: it stopped in order or was forgotten, and interfaces are still placed there. */
  readonly state: 'lives' | 'away' | 'left';
  /** When its daemon began to follow the store; of one that lives. Ms since 1970, by the host's clock. */
  readonly sinceMs?: number;
  readonly version?: string;
  /** Which revision it has in force, or had when it was heard last. */
  readonly revision?: number;
  /** Since when: the age of its last news. */
  readonly inForceSinceMs?: number;
  /** It lives, and has not all in force that is in the store and concerns it. */
  readonly isBehind: boolean;
  readonly refused?: { readonly revision: number; readonly message: string };
  readonly fence?: 'none' | 'lease';
  readonly isFenced?: true;
  /** What of the estate is not in force there, and why; the first 100. */
  readonly leftOut: readonly { readonly id: string; readonly why: string }[];
  readonly leftOutCount: number;
  /** How many interfaces of the store are placed there. */
  readonly interfaces: number;
}
