/**
 * This file takes one HTTP request, read as a whole, to the action that it names and back: signature, limits, rights,
 * parameters, the call, the answer. Each step that says no ends it.
 */
import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { StoreError } from '../store/store.ts';
import type { AccessRecord, UnknownActions } from './access-log.ts';
import { ApiError, mayCall, type Action, type Answer, type Caller } from './action.ts';
import { readCredential, type Credential } from './credential.ts';
import { readPairs, shown } from './form.ts';
import type { KeyRing } from './keys.ts';
import type { Call, Protocol, Written } from './protocol.ts';
import * as refusals from './refusals.ts';
import { PROTOCOLS } from './services.ts';
import { findSigner, type Signer } from './sessions.ts';
import { refusalOf, type SignedRequest } from './signature.ts';
import type { RequestLimit } from './token-bucket.ts';
import { writeError, XML_TYPE } from './xml-writer.ts';

export interface HttpRequest extends Omit<SignedRequest, 'body'> {
  /** Finds a header by its name in lower case. */
  readonly header: (name: string) => string | undefined;
  /** Reads the body. @throws ApiError if it is too long */
  readBody(): Promise<Uint8Array>;
  /** The client's address. */
  readonly from: string;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array;
}

export interface DispatchSettings {
  readonly actions: readonly Action[];
  readonly keys: Pick<KeyRing, 'find'>;
  readonly limit: RequestLimit;
  readonly unknown: UnknownActions;
  readonly log: Pick<Logger, 'error'>;
  /** Unix time in milliseconds, for signatures. */
  readonly now: () => number;
  /** Is told of each request when it has been answered. */
  readonly onAccess: (record: AccessRecord) => void;
}

/** Of one that is counted; S3 has none, so what it was asked for is counted by method and query string. */
const ACTION_NAME = /^[A-Za-z0-9][A-Za-z0-9 ?&-]{0,127}$/;

export class Dispatcher {
  private readonly settings: DispatchSettings;
  private readonly actions = new Map<string, Action>();

  /** @throws Error if the wire table lacks an action, or two are the same */
  constructor(settings: DispatchSettings) {
    this.settings = settings;
    for (const action of settings.actions) {
      const name = `${action.service}:${action.name}`;
      if (PROTOCOLS.get(action.service)?.has(action.name) !== true)
        throw new Error(`the wire table lacks ${name}`);
      if (this.actions.has(name)) throw new Error(`${name} is there twice`);
      this.actions.set(name, action);
    }
  }

  /** Answers a request. Never throws. */
  async answer(request: HttpRequest): Promise<HttpAnswer> {
    const startMs = performance.now();
    const record: AccessRecord = {
      requestId: randomUUID(),
      from: request.from,
      outcome: 'ok',
      status: 200,
      ms: 0,
    };
    const state: State = { request, record, protocol: undefined };
    let answer: HttpAnswer;
    try {
      answer = await this.call(state);
    } catch (thrown) {
      answer = this.failure(state, thrown);
    }
    record.ms = Math.round((performance.now() - startMs) * 1000) / 1000;
    this.settings.onAccess(record);
    return answer;
  }

  private async call(state: State): Promise<HttpAnswer> {
    const { request, record } = state;
    const query = readPairs(request.query);
    const credential = readCredential(request.header, query);
    if (credential === undefined) throw refusals.notSigned();
    const protocol = PROTOCOLS.get(credential.service);
    if (protocol === undefined) {
      this.settings.unknown.add(`${credential.service}:*`);
      throw refusals.unknownService(credential.service);
    }
    state.protocol = protocol;
    record.service = protocol.service;
    const { method, path, header, rawHeaders } = request;
    const headerNames = rawHeaders.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase());
    const head = { method, path, header, headerNames };
    const malformed = protocol.refusalOfForm(head);
    if (malformed !== undefined) throw malformed;
    // Before the body: who has no key at all fills no memory.
    const signer = findSigner(this.settings.keys, credential, this.settings.now());
    if (typeof signer === 'string') throw this.refuse(state, signer);
    const body = await request.readBody();
    const caller = this.authenticate(state, credential, signer, body);
    const secret = signer.key.secretAccessKey;
    const call = protocol.readCall({ ...head, query, body, caller, credential, secret });
    const action = this.findAction(protocol, call, record);
    if (!mayCall(caller.policy, action.right))
      throw refusals.notAllowed(protocol.service, action.name, caller);

    const answer = await action.run(call.parameters(), caller);
    return answerOf(protocol.writeAnswer(action.name, answer.output, record.requestId), record, {
      ...noteEnforcement(answer, record),
      ...answer.headers,
    });
  }

  private authenticate(
    state: State,
    credential: Credential,
    { key, caller }: Signer,
    body: Uint8Array,
  ): Caller {
    const { request, record } = state;
    const { method, path, query, rawHeaders } = request;
    const signed: SignedRequest = { method, path, query, rawHeaders, body };
    const refusal = refusalOf(signed, credential, key, this.settings.now());
    if (refusal !== undefined) throw this.refuse(state, refusal);
    record.who = key.name;
    record.accessKeyId = key.accessKeyId;
    // After the signature: a stranger must not use up somebody's requests. All sessions of a key have its limit.
    if (!this.settings.limit.take(caller.accessKeyId, performance.now()))
      throw refusals.tooFast(state.protocol!.service);
    return { ...caller, host: request.header('host') ?? '' };
  }

  private refuse(state: State, refusal: Parameters<typeof refusals.signatureError>[1]): ApiError {
    state.record.reason = refusal;
    return refusals.signatureError(state.protocol!.service, refusal);
  }

  private findAction(protocol: Protocol, { action: name }: Call, record: AccessRecord): Action {
    record.action = shown(name);
    const action = this.actions.get(`${protocol.service}:${name}`);
    if (action !== undefined) return action;
    if (ACTION_NAME.test(name)) this.settings.unknown.add(`${protocol.service}:${name}`);
    throw protocol.unknownAction(shown(name));
  }

  private failure({ record, protocol }: State, thrown: unknown): HttpAnswer {
    let error: ApiError;
    if (thrown instanceof ApiError) {
      error = thrown;
    } else {
      const { requestId, action } = record;
      this.settings.log.error({ err: thrown, requestId, action }, 'an action failed');
      error =
        thrown instanceof StoreError
          ? refusals.storeFailure(thrown, requestId)
          : refusals.internalFailure(protocol?.service ?? 'ec2', requestId);
    }
    record.outcome = error.code;
    record.status = error.status;
    const { requestId } = record;
    const written: Written =
      protocol === undefined
        ? { headers: { 'content-type': XML_TYPE }, body: writeError(undefined, error, requestId) }
        : protocol.writeError(error, requestId);
    return answerOf({ status: error.status, ...written }, record, error.headers);
  }
}

/** Of hosts that a header or a record of the log names. */
const HOSTS_MAX = 20;

/** What the headers and the access log say of how a change got into force. */
function noteEnforcement(
  { revision, notInForce }: Answer,
  record: AccessRecord,
): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {};
  if (revision !== undefined)
    headers['x-secgroupd-revision'] = String((record.revision = revision));
  for (const how of ['away', 'behind'] as const) {
    const hosts = notInForce?.[how] ?? [];
    if (hosts.length === 0) continue;
    const named = hosts.slice(0, HOSTS_MAX);
    const more = hosts.length > HOSTS_MAX ? [`and ${hosts.length - HOSTS_MAX} more`] : [];
    record[how] = named;
    headers[`x-secgroupd-${how}`] = [...named.map(encodeURIComponent), ...more].join(', ');
  }
  return headers;
}

function answerOf(
  { status = 200, headers, body }: Written,
  { requestId }: AccessRecord,
  more: Readonly<Record<string, string>>,
): HttpAnswer {
  return { status, headers: { ...headers, 'x-amzn-requestid': requestId, ...more }, body };
}

/** What is known of a request so far. */
interface State {
  readonly request: HttpRequest;
  readonly record: AccessRecord;
  protocol: Protocol | undefined;
}
