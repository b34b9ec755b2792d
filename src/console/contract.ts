/**
 * This file has the types of every question and answer between the console's page and its server: types only, plain
 * JSON. Both halves are built against it, so a field that one of them does not know is a mistake that tsc finds.
 *
 * All paths are below `/api/`. A request has `Authorization: Bearer TOKEN`, but for `sign-in` (contract-api.ts); one
 * with a body has `Content-Type: application/json` and at most 64 kB. A failure is a status of 4xx or 5xx and a
 * `Failure`. Every name and every description in an answer is a stranger's text: it may have any character.
 *
 * Answers of the daemon are passed on as they are, with the types of queries/ and explain/. An input in files gives the
 * same shapes; it has no traffic, so its counts are 0.
 */
import type { GroupDraft, PermissionDraft } from '../config/group-draft.ts';
import type { LiveExplanation } from '../queries/explain-live.ts';
import type { DropExample, DropExplanation, DropsAnswer } from '../queries/drops-view.ts';
import type { FlowsAnswer, FlowView } from '../queries/flows-view.ts';
import type { RuleView } from '../queries/rule-book.ts';
import type { GroupUse, RulesAnswer, RuleUse } from '../queries/rules-view.ts';
import type { Connection } from '../queries/connections.ts';
import type { TopAnswer, TopFlow } from '../queries/top-stream.ts';
import type { Traffic } from '../queries/interfaces-view.ts';
import type { Explanation } from '../explain/explanation.ts';
import type { Problem } from '../source/problem.ts';
import type { ApplyOffer, DraftHost, SignedInKey } from './contract-api.ts';

export type {
  ApplyAnswer,
  ApplyCall,
  ApplyOffer,
  ChangedGroup,
  ChangesAnswer,
  ConsoleChange,
  ConsoleHost,
  DraftHost,
  HostsAnswer,
  SignedIn,
  SignedInKey,
  SignInWay,
} from './contract-api.ts';
export type {
  Connection,
  DropExample,
  DropExplanation,
  DropsAnswer,
  Explanation,
  FlowsAnswer,
  FlowView,
  GroupDraft,
  GroupUse,
  LiveExplanation,
  PermissionDraft,
  Problem,
  RulesAnswer,
  RuleUse,
  RuleView,
  TopAnswer,
  TopFlow,
  Traffic,
};

/**
 * Any answer from 400 on: 400 wrong, 401 token, 403 other site or no right, 404, 405, 409 not as it was, 410 not kept,
 * 413, 415, 429 too many requests of a key, 502 daemon, 503.
 */
export interface Failure {
  /** One sentence without a full stop. */
  readonly error: string;
  readonly hint?: string;
  /** What the page decides by, of secgroup-api: see contract-api.ts. A token that counts no more is 401 `expired`. */
  readonly code?: string;
}

/** `GET about`. */
export interface About {
  /** `estate`: all that calls made and files declare, on all hosts of a store, by secgroup-api. */
  readonly source: 'daemon' | 'input' | 'estate';
  /** What is looked at: the path of the control socket, or of the input; the region, of an estate. */
  readonly title: string;
  /** The daemon's, or that of sgctl or secgroup-api; empty while the daemon is away. */
  readonly version: string;
  /** Whether there is traffic: false for an input, and for an estate without a daemon that is asked. */
  readonly isLive: boolean;
  /** Of an estate: why there are no live figures, or of which host alone they are, as a sentence. */
  readonly liveNote?: string;
  readonly mayDraft: boolean;
  /** Whether this key may apply drafts. Some groups can't be changed all the same (ApplyOffer). */
  readonly mayApply: boolean;
  /** Who is signed in. Present for an estate; then there are `GET changes`, `GET hosts` and `POST renew`. */
  readonly key?: SignedInKey;
  /** The path of the daemon's configuration, or what an input is in the words of `sgctl check --json`. */
  readonly configuration: string;
  /** The name of the host in its store. Absent: there is no store. */
  readonly host?: string;
  /** The revision of the store that is in force. */
  readonly revision?: number;
  /** When the daemon started, or when the input was read: ms since 1970. */
  readonly startedMs: number;
  /** Absent: it can be reached. */
  readonly away?: { readonly why: string; readonly sinceMs: number };
}

/** `GET map`. The same for all tabs until the estate changes. */
export interface MapView {
  /** Goes up with every change of what packets are judged by; of an input always 1. */
  readonly generation: number;
  readonly nodes: readonly MapNode[];
  readonly edges: readonly MapEdge[];
  /** All rules that edges name, each once. `GET rules` has their hits. */
  readonly rules: readonly RuleView[];
  /** What does not fit is left out, and this says so in a sentence. Absent: everything is there. */
  readonly isTooLarge?: string;
}

/** Ids are made of names, so they stay the same over reloads and restarts. */
export type MapNode =
  | {
      /** All interfaces with exactly the same groups. */
      readonly kind: 'interfaces';
      readonly id: string;
      /** The only interface's name, or the names of the groups. */
      readonly label: string;
      /** Names of groups, `VPC/NAME` where there are several VPCs. */
      readonly groups: readonly string[];
      readonly interfaces: readonly MapInterface[];
      /** The name of the VPC, where there are several. */
      readonly vpc?: string;
    }
  | {
      /** Members of a group that are on other hosts, or that the input does not know. */
      readonly kind: 'members';
      readonly id: string;
      readonly label: string;
      readonly groups: readonly string[];
      /** How many there are; absent: nobody knows. */
      readonly count?: number;
    }
  | {
      /** A block of addresses as rules have it: whoever has one and is no interface here. */
      readonly kind: 'block';
      readonly id: string;
      readonly label: string;
      readonly cidr: string;
      /** `0.0.0.0/0` or `::/0`. */
      readonly isAnywhere: boolean;
    }
  | {
      readonly kind: 'prefix-list';
      readonly id: string;
      readonly label: string;
      readonly family: 4 | 6;
      /** The first 100. */
      readonly entries: readonly string[];
      readonly entryCount: number;
    }
  | {
      /** Whoever has a DNS name, of rules that require it as TLS's server name or of those that don't. Only sent to. */
      readonly kind: 'name';
      readonly id: string;
      /** As in the text of rules. */
      readonly label: string;
      readonly dnsName: string;
      readonly tlsName?: 'required';
    }
  | {
      /** The platform: its services, which egress gates never filter. */
      readonly kind: 'platform';
      readonly id: string;
      readonly label: string;
    };

export interface MapInterface {
  readonly name: string;
  readonly id: string;
  readonly addresses: readonly string[];
  readonly vpc?: string;
}

/** Something is allowed between two ends, in this direction. `from` and `to` may be the same node. */
export interface MapEdge {
  /** Made of the ids of its ends. */
  readonly id: string;
  readonly from: string;
  readonly to: string;
  /** `tcp 22, 80-90`, `everything`: what some member of `from` may open to some member of `to`. */
  readonly services: readonly string[];
  /** Not everything of it is certain: the input leaves open what it depends on, or another host judges too. */
  readonly isPerhaps?: true;
  /** Places in `rules` of those by which, of the sender's egress and of the receiver's ingress; the first 100. */
  readonly rules: readonly number[];
  readonly ruleCount: number;
}

/** `GET groups`. */
export type GroupsAnswer = readonly ConsoleGroup[];

export interface ConsoleGroup extends GroupUse {
  /** Of an estate: why its rules can't be changed here, such as the file that declares it. Absent: they can. */
  readonly fixed?: string;
}

/** `POST explain`. The answer is a `LiveExplanation`: a question that can't be understood is no failure. */
export interface ExplainRequest {
  /** `web -> db tcp 5432`, as `sgctl explain` takes it. */
  readonly question: string;
}

/**
 * `GET flows?…`: the words of `sgctl flows`: interface, proto, port, local-port, remote-port, address, local, remote,
 * rule, group, state (each may be given several times, or as a list with commas), opened-by, idle (`30s`), audit
 * (`true`), sort (`table`, `bytes`, `packets`, `idle`, `expires`), limit (default 200, at most 2,000). The answer is a
 * `FlowsAnswer`.
 *
 * `GET rules?…`: group, direction, never-hit (`true`), sort (`file`, `hits`, `last`, `flows`); a `RulesAnswer`.
 *
 * `GET drops?…`: interface, direction, reason, since (`5m`), audit (`true`); a `DropsAnswer`, of at most 500 kinds.
 * `GET drops/NUMBER` is a `DropExplanation`.
 */
export type QueryWords = Readonly<Record<string, string | readonly string[]>>;

/** `GET matrix`. */
export interface MatrixView {
  readonly generation: number;
  readonly ends: readonly MatrixEnd[];
  /** Pairs between which something is allowed. */
  readonly cells: readonly MatrixCell[];
  /** As in MapView. */
  readonly isTooLarge?: string;
}

export interface MatrixEnd {
  readonly label: string;
  readonly kind: 'interfaces' | 'members' | 'outside' | 'name';
  /** The node of the map, of interfaces, members and names. Parts of the world are not nodes: they don't overlap. */
  readonly node?: string;
}

export interface MatrixCell {
  /** Places in `ends`. */
  readonly from: number;
  readonly to: number;
  readonly services: readonly string[];
  readonly isPerhaps?: true;
}

/**
 * `GET draft?group=NAME`: the group as it is now, to start from: a `GroupDraft`. `POST draft`, with changes: a
 * `DraftAnswer`. Rules are in the words of the configuration.
 */
export interface DraftAnswer {
  /**
   * What is wrong with the draft; with an error nothing else is told. Paths are `ingress[0].ports`. AWS's quotas are
   * warnings.
   */
  readonly problems: readonly Problem[];
  readonly newlyAllowed: readonly DraftDifference[];
  readonly noLongerAllowed: readonly DraftDifference[];
  /** What the linter says of the draft and not of what is in force, then the rest of what it says of the group. */
  readonly lint: readonly (Problem & { readonly isNew: boolean })[];
  /** What it would do to tracked connections. Absent: `connectionsWhy` says why, if there is no error. */
  readonly connections?: DraftConnections;
  readonly connectionsWhy?: string;
  /** Of an estate, in place of `connections`: what each host says, by its name. `connectionsWhy`: none was asked. */
  readonly hosts?: readonly DraftHost[];
  /** Of an estate: whether it can be applied. Absent: the draft has errors, or nothing can be applied here. */
  readonly apply?: ApplyOffer;
  /** There are too many kinds of interfaces and blocks to compare: nothing was. */
  readonly isTooLarge?: string;
}

export interface DraftDifference {
  readonly from: readonly string[];
  readonly to: readonly string[];
  readonly services: readonly string[];
  /** IPv4, IPv6 or both. */
  readonly families: readonly (4 | 6)[];
  /** The input leaves open whether it is so. */
  readonly isPerhaps?: true;
}

/** What the daemon's `reload --dry-run` says of the draft. */
export interface DraftConnections {
  readonly kept: number;
  readonly cut: number;
  /** How many of the kept ones could not be opened again. */
  readonly refusedAnew: number;
  /** The first 100 of each. */
  readonly cutConnections: readonly Connection[];
  readonly refusedAnewConnections: readonly Connection[];
  readonly cutByRule: readonly { readonly rule: string; readonly flows: number }[];
}

/** `POST copy`: the draft's group, written as something else. */
export interface CopyRequest extends GroupDraft {
  readonly as: 'yaml' | 'cloudformation' | 'terraform' | 'commands';
}

export interface CopyAnswer {
  readonly text: string;
  /** What that form can't say, each as a sentence. */
  readonly losses: readonly string[];
}

/** `GET history`: at most an hour, in columns of equal length. `null`: the daemon was away. Rates per second. */
export interface RateHistory {
  /** The time between two samples. */
  readonly stepMs: number;
  /** Ms since 1970; the newest last. */
  readonly timesMs: readonly number[];
  readonly total: TrafficColumns;
  /** Packets a second by reason, the most first; reasons without drops are left out. */
  readonly drops: readonly { readonly reason: string; readonly packets: Column }[];
  /** The interfaces with the most bytes in that time, at most 10. */
  readonly interfaces: readonly ({ readonly name: string } & TrafficColumns)[];
}

export type Column = readonly (number | null)[];

export interface TrafficColumns {
  readonly passedPackets: Column;
  readonly passedBytes: Column;
  readonly droppedPackets: Column;
  readonly droppedBytes: Column;
}

/** A sample of the history, as it is added: `rates`. */
export interface RateSample {
  readonly timeMs: number;
  /** Null: the daemon is away. */
  readonly total: Traffic | null;
  readonly drops: readonly { readonly reason: string; readonly packets: number }[];
  readonly interfaces: readonly ({ readonly name: string } & Traffic)[];
}

/** A look of the last second; `total` is of all interfaces, also of those that are not listed. */
export interface LiveTop extends TopAnswer {
  readonly total: Traffic;
}

/**
 * `GET events`: server-sent events, each with `event:` its name and `data:` one line of JSON. A comment comes every 15
 * seconds, so that a silent connection is a dead one. secgroup-api ends a stream when its token ends or its key goes:
 * ask again with the renewed one. The first event is `source`; `estate` follows as soon as
 * something is known to be in force. A browser opens at most six connections to one address, so a tab that nobody
 * looks at should close its stream. At most 16 streams are served.
 */
export interface ConsoleEvents {
  /** Each second, while the daemon can be reached: at most 50 flows, and the 100 interfaces with the most traffic. */
  readonly top: LiveTop;
  /** Every `stepMs` of the history. */
  readonly rates: RateSample;
  /** New examples, at most 20 at a time; so many more are new and not shown (`GET drops` has them). */
  readonly drop: { readonly examples: readonly DropExample[]; readonly more: number };
  /** Another policy is in force: fetch the map again. */
  readonly estate: { readonly generation: number };
  /** The daemon went away, or is back. */
  readonly source: {
    readonly isReachable: boolean;
    readonly why?: string;
    readonly sinceMs: number;
  };
  /** So many events were not sent, because this reader was too slow. `source` and `estate` are sent all the same. */
  readonly missed: { readonly count: number };
}
