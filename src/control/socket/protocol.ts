/**
 * What is said over the control socket: one JSON object a line, a request and its answer.
 *
 *   → {"version":1,"method":"reload","params":{"dryRun":true}}
 *   ← {"version":1,"ok":true,"result":{…}}   or   {"version":1,"ok":false,"error":"…"}
 *
 * A connection may ask several things, one after the other. The version changes when an old client
 * would misread an answer; methods and fields may be added without. A daemon refuses a parameter that it does not know
 * (requests.ts): passed over, a filter would end connections that it was to spare.
 *
 * Streams (`trace`, `top`, `capture`) go on answering, each line with `more`, until the client hangs up; what it
 * says meanwhile is not read. A client that reads too slowly misses something, and the next answer says how much:
 *
 *   → {"version":1,"method":"trace","params":{"interfaces":["eni-web-1"]}}
 *   ← {"version":1,"ok":true,"more":true,"result":{…}}
 *   ← {"version":1,"ok":true,"more":true,"missed":311,"result":{…}}
 *
 * The first answer of a stream comes at once and has no `result`: the daemon is listening from then on.
 */
import type { Problem } from '../../source/problem.ts';
import type { Explanation, Service } from '../../policy/explanation.ts';
import type { CaptureAnswer, CaptureQuestion } from './capture-stream.ts';
import type { Changes } from '../changes.ts';
import type { Connection } from '../views/connections.ts';
import type { DropExplanation, DropsAnswer, DropsQuestion } from '../views/drops-view.ts';
import type { QuestionText } from '../views/explain.ts';
import type { FlowFilter, FlowsAnswer, FlowsQuestion } from '../views/flows-view.ts';
import type { Impact } from '../impact.ts';
import type { InterfaceView } from '../views/interfaces-view.ts';
import type { GroupUse, RulesAnswer, RulesQuestion } from '../views/rules-view.ts';
import type { Health } from '../views/status-view.ts';
import type { TopAnswer, TopQuestion } from './top-stream.ts';
import type { TraceAnswer, TraceQuestion } from './trace-stream.ts';

export const PROTOCOL_VERSION = 1;

/** Longest request line in bytes: a stranger on the socket can't make the daemon remember more. */
export const REQUEST_BYTES_MAX = 64 * 1024;

export interface Methods {
  readonly status: { readonly params: Nothing; readonly result: Status };
  readonly explain: { readonly params: QuestionText; readonly result: LiveExplanation };
  readonly reload: {
    readonly params: { readonly dryRun?: boolean };
    readonly result: ReloadResult;
  };
  readonly interfaces: { readonly params: Nothing; readonly result: readonly InterfaceView[] };
  readonly groups: { readonly params: Nothing; readonly result: readonly GroupUse[] };
  readonly rules: { readonly params: RulesQuestion; readonly result: RulesAnswer };
  readonly flows: { readonly params: FlowsQuestion; readonly result: FlowsAnswer };
  /** Ends the flows that match. */
  readonly endFlows: { readonly params: FlowFilter; readonly result: { readonly ended: number } };
  readonly drops: { readonly params: DropsQuestion; readonly result: DropsAnswer };
  /** Without an id: the latest drop that is not of link scope, if there is one. */
  readonly explainDrop: {
    readonly params: { readonly id?: number };
    readonly result: DropExplanation;
  };
}

export interface Streams {
  readonly trace: { readonly params: TraceQuestion; readonly result: TraceAnswer };
  readonly top: { readonly params: TopQuestion; readonly result: TopAnswer };
  readonly capture: { readonly params: CaptureQuestion; readonly result: CaptureAnswer };
}

type Nothing = Readonly<Record<string, never>>;

export type MethodName = keyof Methods;
export type StreamName = keyof Streams;

/** What is in force, and how the daemon is. */
export interface Status extends Overview {
  readonly health: Health;
}

/** What is in force, in a few words. */
export interface Overview {
  readonly version: string;
  readonly pid: number;
  readonly config: string;
  readonly generation: number;
  readonly interfaces: readonly string[];
  /** Those, and the uplink, whose device can't be had yet. */
  readonly waiting: readonly WaitingDevice[];
  readonly groups: number;
  readonly flows: number;
  readonly prefixLists: readonly PrefixListStatus[];
}

export interface WaitingDevice {
  /** An interface's name, or `uplink`. */
  readonly name: string;
  /** `eth0 in /run/netns/web-1`. */
  readonly device: string;
  /** Why it can't be had, and where it is known what to do. */
  readonly reason: string;
}

export interface PrefixListStatus {
  readonly name: string;
  readonly id: string;
  readonly entries: number;
  readonly maxEntries: number;
  /** 1 when the daemon starts; goes up with every change of the entries, as in AWS. */
  readonly version: number;
}

/** An explanation by the rules in force, and the connections there are. */
export type LiveExplanation =
  /** The question's words mean nothing here. */
  | { readonly outcome: 'misunderstood'; readonly message: string; readonly hint: string }
  | {
      readonly outcome: 'explained';
      readonly explanation: Explanation;
      readonly service: Service;
      /** Tracked connections that such a packet belongs to, at either gate; the first of them. */
      readonly connections: readonly Connection[];
    };

export type ReloadResult =
  /** Nothing was changed: `problems` has at least one error. */
  | { readonly outcome: 'refused'; readonly problems: readonly Problem[] }
  /** Nothing was changed, since it was a dry run. */
  | {
      readonly outcome: 'planned';
      readonly changes: Changes;
      readonly impact: Impact;
      readonly problems: readonly Problem[];
    }
  | {
      readonly outcome: 'changed' | 'unchanged';
      readonly generation: number;
      readonly changes: Changes;
      readonly problems: readonly Problem[];
    };

export type Response =
  | {
      readonly version: number;
      readonly ok: true;
      /** Of a stream: another answer follows. */
      readonly more?: true;
      /** Of a stream: how much could not be sent since the answer before. */
      readonly missed?: number;
      readonly result?: unknown;
    }
  | { readonly version: number; readonly ok: false; readonly error: string };
