/**
 * A protocol is how the calls and answers of a service are put on the wire. EC2, STS and CloudFormation have the query
 * protocol, SSM and the calls of hosts have JSON, and S3 has paths and methods of HTTP. What comes before and after is
 * the same for all (dispatch.ts).
 */
import type { ApiError, Caller, ServiceName, Struct } from './action.ts';
import type { Credential } from './credential.ts';
import type { Pair } from './form.ts';

/** A request without its body. */
export interface RequestHead {
  readonly method: string;
  /** Not decoded, without the query string. */
  readonly path: string;
  /** Finds a header by its name in lower case. */
  readonly header: (name: string) => string | undefined;
  /** In lower case. */
  readonly headerNames: readonly string[];
}

/** A request whose signature is right. */
export interface ReadRequest extends RequestHead {
  readonly query: readonly Pair[];
  readonly body: Uint8Array;
  readonly caller: Caller;
  /** What it was signed with, for a body that is signed in pieces. */
  readonly credential: Credential;
  readonly secret: string;
}

export interface Call {
  /** As a client wrote it: not every name is that of an action. */
  readonly action: string;
  /** Reads the parameters. @throws ApiError */
  readonly parameters: () => Struct;
}

export interface Written {
  /** Of HTTP; absent: 200, or that of the error. */
  readonly status?: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array;
}

export interface Protocol {
  readonly service: ServiceName;
  /** Whether the protocol can put this action on the wire. */
  has(action: string): boolean;
  /** Why no client of the service sends such a request; undefined: one may. */
  refusalOfForm(head: RequestHead): ApiError | undefined;
  /** Says what a request calls. @throws ApiError */
  readCall(request: ReadRequest): Call;
  unknownAction(action: string): ApiError;
  writeAnswer(action: string, output: object, requestId: string): Written;
  writeError(error: ApiError, requestId: string): Written;
}
