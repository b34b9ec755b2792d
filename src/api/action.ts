/**
 * An action of the API, as those see it who write one: typed parameters come in, an answer or an ApiError goes out.
 *
 * Names of parameters and answers are the member names of the SDKs (`IpPermissions`, `GroupIds`). The wire table turns
 * them into the wire's names.
 */
import type { TableName } from './wire-table.ts';

/** By the name that stands in a signature's scope. */
export type ServiceName = TableName | 's3' | 'ssm' | 'secgroupd';

export type Value =
  | string
  | number
  | boolean
  | Date
  | Uint8Array
  | readonly Value[]
  | { readonly [member: string]: Value | undefined };

/** A structure by its members. Those that are undefined are absent. */
export type Struct = Readonly<Record<string, Value | undefined>>;

/** What a key may do. `host`: what the host that the key is named after asks for its instances, and nothing else. */
export type Policy = 'read' | 'write' | 'host';
export const POLICIES: readonly Policy[] = ['read', 'write', 'host'];

/** Whether a key with a policy may call an action. */
export function mayCall(policy: Policy, right: Policy): boolean {
  return policy === right || (policy === 'write' && right === 'read');
}

/** Who signed a request. */
export interface Caller {
  /** Of the key in the file, also where a session of it has signed. */
  readonly accessKeyId: string;
  /** The name that the key was given. */
  readonly name: string;
  readonly accountId: string;
  readonly policy: Policy;
  /** `arn:aws:iam::ACCOUNT:user/NAME`, or that of the role of a session */
  readonly arn: string;
  /** When the session ends, Unix time in seconds; absent: the key itself has signed. */
  readonly untilS?: number;
  /** What the client calls this server: host and port, signed. */
  readonly host: string;
}

export interface Answer {
  /** By the names of the SDK's output type. */
  readonly output: object;
  /** Of the estate, after a change: goes into the header `x-secgroupd-revision` and the access log. */
  readonly revision?: number;
  /**
   * Hosts that it concerns and that don't have it in force: they don't live, or a quorum of the others was enough. They
   * go into the headers `x-secgroupd-away` and `x-secgroupd-behind`, and into the access log.
   */
  readonly notInForce?: { readonly away: readonly string[]; readonly behind: readonly string[] };
  /** Further headers, names in lower case. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Action {
  readonly service: ServiceName;
  /** As the wire table has it, `CreateSecurityGroup` for example. */
  readonly name: string;
  /** The policy that a key must have (mayCall): `run` is not asked otherwise. */
  readonly right: Policy;
  /** @throws ApiError what the client is told */
  run(params: Struct, caller: Caller): Promise<Answer>;
}

/** Makes an action whose parameters have the type of the SDK's request. The reader has checked them by the table. */
export function action<P extends object>(
  service: ServiceName,
  name: string,
  right: Policy,
  run: (params: P, caller: Caller) => Promise<Answer>,
): Action {
  return { service, name, right, run: (params, caller) => run(params as P, caller) };
}

const BAD_REQUEST = 400;

/** An error that the client gets, by AWS's code for it. */
export class ApiError extends Error {
  readonly code: string;
  /** Of HTTP. */
  readonly status: number;
  /** Further headers of the answer, names in lower case. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    code: string,
    message: string,
    status = BAD_REQUEST,
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
    this.name = 'ApiError';
    this.code = code;
    this.status = status;
    this.headers = headers;
  }
}

/** The answer to `DryRun` where the call would have succeeded. `preview` says what it would have changed. */
export function dryRunSucceeded(preview?: {
  readonly message: string;
  readonly header: string;
}): ApiError {
  const message = 'Request would have succeeded, but DryRun flag is set.';
  return preview === undefined
    ? new ApiError('DryRunOperation', message, 412)
    : new ApiError('DryRunOperation', `${message} ${preview.message}`, 412, {
        'x-secgroupd-impact': preview.header,
      });
}
