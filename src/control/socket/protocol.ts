/**
 * What is said over the control socket: one JSON object a line, a request and its answer.
 *
 *   → {"version":1,"method":"reload","params":{"dryRun":true}}
 *   ← {"version":1,"ok":true,"result":{…}}   or   {"version":1,"ok":false,"error":"…"}
 *
 * A connection may ask several things, one after the other. The version changes when an old client
 * would misread an answer.
 */
import type { Problem } from '../source/problem.ts';
import type { Explanation, Service } from '../policy/explanation.ts';
import type { Changes } from './changes.ts';
import type { Connection } from './connections.ts';
import type { QuestionText } from './explain.ts';
import type { Impact } from './impact.ts';

export const PROTOCOL_VERSION = 1;

/** Longest request line in bytes: a stranger on the socket can't make the daemon remember more. */
export const REQUEST_BYTES_MAX = 64 * 1024;

export interface Methods {
  readonly status: { readonly params: Record<string, never>; readonly result: Status };
  readonly explain: { readonly params: QuestionText; readonly result: LiveExplanation };
  readonly reload: {
    readonly params: { readonly dryRun?: boolean };
    readonly result: ReloadResult;
  };
}

export type MethodName = keyof Methods;

export interface Status {
  readonly version: string;
  readonly pid: number;
  readonly config: string;
  readonly generation: number;
  readonly interfaces: readonly string[];
  readonly groups: number;
  readonly flows: number;
  readonly prefixLists: readonly PrefixListStatus[];
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

export interface Request {
  readonly version: number;
  readonly method: string;
  readonly params?: unknown;
}

export type Response =
  | { readonly version: number; readonly ok: true; readonly result: unknown }
  | { readonly version: number; readonly ok: false; readonly error: string };
