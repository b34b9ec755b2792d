/**
 * The protocol of the control socket is one JSON object a line, a request and its answer:
 *
 *   → {"version":1,"method":"reload","params":{"dryRun":true}}
 *   ← {"version":1,"ok":true,"result":{…}}   or   {"version":1,"ok":false,"error":"…"}
 *
 * A connection may send several requests, one after the other. The version changes when an old client would misread
 * an answer. New methods and fields do not change it. A daemon refuses a parameter that it does not know (requests.ts):
 * if it ignored a filter, it would end connections that the filter was to spare.
 *
 * Streams (`trace`, `top`, `capture`) send answers, each with `more`, until the client hangs up. What the client sends
 * meanwhile is not read. A client that reads too slowly misses answers, and the next one says how much:
 *
 *   → {"version":1,"method":"trace","params":{"interfaces":["eni-web-1"]}}
 *   ← {"version":1,"ok":true,"more":true,"result":{…}}
 *   ← {"version":1,"ok":true,"more":true,"missed":311,"result":{…}}
 *
 * The first answer of a stream comes at once and has no `result`. It means that the stream has begun.
 */
import type { QuestionText } from '../explain/question.ts';
import type { CaptureAnswer, CaptureQuestion } from '../queries/capture-stream.ts';
import type { ConfigurationAnswer, ConfigurationQuestion } from '../queries/configuration-view.ts';
import type { DraftQuestion, DraftPreview } from '../queries/draft-preview.ts';
import type { DropExplanation, DropsAnswer, DropsQuestion } from '../queries/drops-view.ts';
import type { NamesAnswer, NamesQuestion } from '../queries/names-view.ts';
import type { LiveExplanation } from '../queries/explain-live.ts';
import type { FlowFilter, FlowsAnswer, FlowsQuestion } from '../queries/flows-view.ts';
import type { InstanceView } from '../queries/instance-view.ts';
import type { InterfaceView } from '../queries/interfaces-view.ts';
import type {
  AttachmentQuestion,
  InterfaceQuestion,
  LeaseQuestion,
  OwnedInterfaceView,
  PoolQuestion,
  PoolView,
  ReleaseQuestion,
} from '../queries/owned-interfaces.ts';
import type { PlatformView } from '../queries/platform-view.ts';
import type { ReloadResult } from '../queries/reload-result.ts';
import type { GroupUse, RulesAnswer, RulesQuestion } from '../queries/rules-view.ts';
import type { Status } from '../queries/status-view.ts';
import type { Follow } from '../queries/stream.ts';
import type { TopAnswer, TopQuestion } from '../queries/top-stream.ts';
import type { TraceAnswer, TraceQuestion } from '../queries/trace-stream.ts';

export const PROTOCOL_VERSION = 1;

/** Longest request line in bytes. It bounds the memory that a client can take. */
export const REQUEST_BYTES_MAX = 64 * 1024;

export interface Methods {
  readonly status: { readonly params: Nothing; readonly result: Status };
  readonly explain: { readonly params: QuestionText; readonly result: LiveExplanation };
  readonly reload: {
    readonly params: { readonly dryRun?: boolean };
    readonly result: ReloadResult;
  };
  /** What is in force, as plain data. */
  readonly configuration: {
    readonly params: ConfigurationQuestion;
    readonly result: ConfigurationAnswer;
  };
  /** What other rules of a group would do to tracked connections. It changes nothing. */
  readonly preview: { readonly params: DraftQuestion; readonly result: DraftPreview };
  readonly interfaces: { readonly params: Nothing; readonly result: readonly InterfaceView[] };
  /** Answered when the rules hold for the interface. */
  readonly addInterface: {
    readonly params: InterfaceQuestion;
    readonly result: OwnedInterfaceView;
  };
  /** One that is not there is no failure. */
  readonly removeInterface: {
    readonly params: { readonly id: string };
    readonly result: { readonly removed: boolean };
  };
  /** Makes an interface that a call of the EC2 API made that of an instance. Answered when the rules hold for it. */
  readonly attachInterface: {
    readonly params: AttachmentQuestion;
    readonly result: OwnedInterfaceView;
  };
  /** An attachment that is not there is no failure. */
  readonly detachInterface: {
    readonly params: { readonly attachment: string };
    readonly result: { readonly detached: boolean };
  };
  readonly findSubnet: { readonly params: PoolQuestion; readonly result: PoolView };
  /** Keeps others from an address for some minutes, in which `addInterface` makes it an interface's. */
  readonly leaseAddress: {
    readonly params: LeaseQuestion;
    /** `leased` is false if it is that of an interface which a call made and nobody has. */
    readonly result: { readonly address: string; readonly leased: boolean };
  };
  /** Of one that is no lease of the owner's, nothing changes. */
  readonly releaseAddress: {
    readonly params: ReleaseQuestion;
    readonly result: { readonly released: boolean };
  };
  readonly setInterfaceGroups: {
    readonly params: { readonly id: string; readonly securityGroups: readonly string[] };
    readonly result: OwnedInterfaceView;
  };
  readonly getInterface: {
    readonly params: { readonly id: string };
    readonly result: OwnedInterfaceView;
  };
  readonly listInterfaces: {
    readonly params: { readonly owner?: string };
    readonly result: readonly OwnedInterfaceView[];
  };
  /** Removes the interfaces of an owner but those to keep, by their ids or those of their attachments. */
  readonly reconcileInterfaces: {
    readonly params: { readonly owner: string; readonly keep: readonly string[] };
    readonly result: { readonly removed: readonly string[] };
  };
  /** Whose the address is; nobody's: no `instance`. */
  readonly instance: {
    readonly params: { readonly address: string };
    readonly result: { readonly instance?: InstanceView };
  };
  /** Where the platform's port is; the configuration has none: no `platform`. */
  readonly platform: {
    readonly params: Nothing;
    readonly result: { readonly platform?: PlatformView };
  };
  readonly groups: { readonly params: Nothing; readonly result: readonly GroupUse[] };
  readonly rules: { readonly params: RulesQuestion; readonly result: RulesAnswer };
  readonly flows: { readonly params: FlowsQuestion; readonly result: FlowsAnswer };
  /** Ends the flows that match. */
  readonly endFlows: { readonly params: FlowFilter; readonly result: { readonly ended: number } };
  readonly drops: { readonly params: DropsQuestion; readonly result: DropsAnswer };
  readonly names: { readonly params: NamesQuestion; readonly result: NamesAnswer };
  /** Without an id, it explains the latest drop that is not of link scope, if there is one. */
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

/** The handlers of all requests. daemon/handlers.ts makes them. */
export interface Handlers {
  readonly methods: {
    readonly [Name in MethodName]: (
      params: Methods[Name]['params'],
    ) => Promise<Methods[Name]['result']>;
  };
  readonly streams: {
    readonly [Name in StreamName]: Follow<Streams[Name]['params'], Streams[Name]['result']>;
  };
  stop(): void;
}

export type Response =
  | {
      readonly version: number;
      readonly ok: true;
      /** In a stream: another answer follows. */
      readonly more?: true;
      /** In a stream: how much could not be sent since the answer before. */
      readonly missed?: number;
      readonly result?: unknown;
    }
  | {
      readonly version: number;
      readonly ok: false;
      readonly error: string;
      /** Nothing was done, for too many others ask: the same request may succeed a moment later. */
      readonly busy?: true;
    };
