/**
 * This file lets into secgroup-api's console whoever signs with a key of the API. The signature is read and checked by
 * the code that every call goes through (api/credential.ts, sessions.ts, signature.ts), the limit is that of calls
 * (token-bucket.ts), and the secret never comes here.
 *
 * A signed request that somebody reads on the way can be sent again for a quarter of an hour, as any call can
 * (signature.ts says why). It gives a token then; to read it there takes root on loopback, and elsewhere TLS is a
 * condition.
 */
import { ApiError } from '../api/action.ts';
import { readCredential } from '../api/credential.ts';
import type { ApiKey, KeyRing } from '../api/keys.ts';
import { findSigner } from '../api/sessions.ts';
import { refusalOf, type Refusal } from '../api/signature.ts';
import type { RequestLimit } from '../api/token-bucket.ts';
import type { SignedIn, SignedInKey, SignInWay } from '../console/contract.ts';
import { ConsoleFailure } from '../console/failure.ts';
import { bearerOf } from '../console/token.ts';
import type { Entrance, SignInRequest, Visitor } from '../console/visitor.ts';
import {
  beginToken,
  readToken,
  renewToken,
  type MadeToken,
  type ReadToken,
  type TokenCaller,
} from './console-token.ts';

/** What stands in the scope of the signature. */
export const SIGN_IN_SERVICE = 'secgroupd';
const HEADER_LENGTH_MAX = 3000;

/** Somebody who is signed in. */
export interface SignedInVisitor extends Visitor {
  readonly caller: TokenCaller;
  readonly key: ApiKey;
}

/** A signature that did not count. `reason` is for the access log: the client is not told. */
export class SignInFailure extends ConsoleFailure {
  readonly reason: string;

  constructor(reason: string, message: string, hint: string, code: string) {
    super(401, message, hint, code);
    this.reason = reason;
  }
}

export interface KeyEntranceOptions {
  readonly keys: Pick<KeyRing, 'find'>;
  readonly limit: RequestLimit;
  readonly region: string;
  /** Ms since 1970. */
  readonly now: () => number;
}

export class KeyEntrance implements Entrance<SignedInVisitor> {
  readonly way: SignInWay;
  private readonly options: KeyEntranceOptions;

  constructor(options: KeyEntranceOptions) {
    this.options = options;
    this.way = { how: 'key', region: options.region, service: SIGN_IN_SERVICE };
  }

  admit(authorization: string | undefined): SignedInVisitor {
    const { token, read } = this.read(authorization);
    return this.visitor(token, read);
  }

  private visitor(
    token: string,
    { caller, key }: Pick<ReadToken, 'caller' | 'key'>,
  ): SignedInVisitor {
    const { keys, now } = this.options;
    return {
      ...{ id: caller.accessKeyId, caller, key },
      isGood: () => {
        const again = readToken(keys, token, now());
        return again !== undefined && again.caller.policy !== 'host';
      },
    };
  }

  count({ caller }: SignedInVisitor): void {
    this.take(caller.accessKeyId);
  }

  async signIn(
    request: SignInRequest,
  ): Promise<{ readonly answer: SignedIn; readonly visitor: SignedInVisitor }> {
    const { now } = this.options;
    if (request.path === 'renew') {
      const { read } = this.read(request.header('authorization'));
      await readNothing(request);
      return this.told(renewToken(read, now()), read);
    }
    const credential = credentialOf(request);
    if (credential?.service !== SIGN_IN_SERVICE)
      throw refused(credential === undefined ? 'not-signed' : 'other-service');
    const { keys } = this.options;
    const signer = findSigner(keys, credential, now());
    if (typeof signer === 'string') throw refused(signer);
    const body = await readNothing(request);
    const [path, query = ''] = request.url.split(/\?(.*)/s);
    const { rawHeaders } = request;
    const signed = { method: 'POST', path, query, rawHeaders, body };
    const refusal = refusalOf(signed, credential, signer.key, now());
    if (refusal !== undefined) throw refused(refusal);
    const key = keys.find(signer.caller.accessKeyId);
    if (key === undefined) throw refused('unknown-key');
    this.take(key.accessKeyId);
    const { caller } = signer;
    mayLook(caller);
    return this.told(beginToken(key, signer, now()), { key, caller });
  }

  private read(authorization: string | undefined): {
    readonly token: string;
    readonly read: ReadToken;
  } {
    const { keys, now } = this.options;
    const token = bearerOf(authorization, HEADER_LENGTH_MAX) ?? '';
    const read = readToken(keys, token, now());
    if (read === undefined)
      throw new ConsoleFailure(401, 'you are not signed in, or not any more', 'sign in', 'expired');
    mayLook(read.caller);
    return { token, read };
  }

  /** As a call: beyond the limit of the key it is refused. */
  private take(accessKeyId: string): void {
    if (this.options.limit.take(accessKeyId, performance.now())) return;
    throw new ConsoleFailure(429, 'the key asks too often', 'wait a second', 'too-fast');
  }

  private told(
    { token, untilMs, endMs }: MadeToken,
    { caller, key }: Pick<ReadToken, 'caller' | 'key'>,
  ): { readonly answer: SignedIn; readonly visitor: SignedInVisitor } {
    const answer: SignedIn = {
      ...{ token, expiresMs: untilMs, endsMs: endMs, nowMs: this.options.now() },
      key: viewKey(caller),
    };
    return { answer, visitor: this.visitor(token, { caller, key }) };
  }
}

/** What the page is told of the key that has signed in. */
export function viewKey({ name, accessKeyId, arn, policy }: TokenCaller): SignedInKey {
  return { name, accessKeyId, arn, policy: policy === 'write' ? 'write' : 'read' };
}

/** A host's key asks for what its instances need, and sees nothing else. */
function mayLook({ policy, name }: Pick<TokenCaller, 'policy' | 'name'>): void {
  if (policy !== 'host') return;
  const error = `the key '${name}' may only ask for what the instances of its host need`;
  throw new ConsoleFailure(403, error, 'sign in with another key', 'not-allowed');
}

function credentialOf(request: SignInRequest): ReturnType<typeof readCredential> {
  try {
    // What is signed in its address stands in histories and logs: here it counts for nothing.
    return readCredential(request.header, []);
  } catch (error) {
    if (error instanceof ApiError) throw refused('incomplete');
    throw error;
  }
}

async function readNothing(request: SignInRequest): Promise<Buffer> {
  const body = await request.readBody();
  if (body.toString('latin1').trim() === '{}') return body;
  throw new ConsoleFailure(400, 'the body is {}');
}

/** Which of the two is wrong, the key or its secret, is not told. */
function refused(reason: Refusal | 'not-signed' | 'other-service' | 'incomplete'): SignInFailure {
  switch (reason) {
    case 'expired':
    case 'not-yet-valid':
    case 'wrong-scope-date':
      return new SignInFailure(
        reason,
        'the signature is of another time than the server has',
        'set the clock of this machine: it may be wrong by 15 minutes',
        'wrong-time',
      );
    case 'expired-token':
      return new SignInFailure(reason, 'the session has ended', 'begin another one', 'expired');
    default:
      return new SignInFailure(
        reason,
        'there is no such key, or this is not its secret',
        'sgctl api key list has the keys there are',
        'wrong-signature',
      );
  }
}
