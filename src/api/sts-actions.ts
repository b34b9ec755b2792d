/** STS: who the caller is, which Terraform and the CDK ask before anything else, and credentials for a while. */
import { createHash } from 'node:crypto';
import { action, ApiError, type Action, type Answer, type Caller } from './action.ts';
import { roleOf } from './bootstrap.ts';
import { shown } from './form.ts';
import { idText, type KeyRing } from './keys.ts';
import {
  assumedRoleArn,
  DURATION_DEFAULT_S,
  DURATION_MAX_S,
  DURATION_MIN_S,
  makeSession,
  narrower,
} from './sessions.ts';

const ID_LENGTH = 17;
const SECOND_MS = 1000;
const SESSION_NAME = /^[\w+=,.@-]{2,64}$/;

export interface StsOptions {
  readonly keys: Pick<KeyRing, 'find'>;
  readonly region: string;
  /** Unix time in milliseconds. */
  readonly now: () => number;
}

interface AssumeParams {
  readonly RoleArn?: string;
  readonly RoleSessionName?: string;
  readonly DurationSeconds?: number;
  readonly Policy?: string;
  readonly PolicyArns?: readonly object[];
}

export function stsActions(options: StsOptions): readonly Action[] {
  return [
    action('sts', 'GetCallerIdentity', 'read', async (_params: object, caller) => ({
      output: { UserId: userIdOf(caller), Account: caller.accountId, Arn: caller.arn },
    })),
    action<AssumeParams>('sts', 'AssumeRole', 'read', async (params, caller) =>
      assumeRole(options, params, caller),
    ),
  ];
}

function assumeRole(
  { keys, region, now }: StsOptions,
  params: AssumeParams,
  caller: Caller,
): Answer {
  const { RoleArn: arn = '', RoleSessionName: sessionName = '' } = params;
  const { DurationSeconds: seconds = DURATION_DEFAULT_S } = params;
  if (!SESSION_NAME.test(sessionName))
    throw invalid(
      `Value '${shown(sessionName)}' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]*, and have 2 to 64 characters`,
    );
  if (seconds < DURATION_MIN_S || seconds > DURATION_MAX_S)
    throw invalid(
      `Value '${seconds}' at 'durationSeconds' failed to satisfy constraint: Member must have value from ${DURATION_MIN_S} to ${DURATION_MAX_S}`,
    );
  // It would have to narrow what the session may do.
  if (params.Policy !== undefined || params.PolicyArns !== undefined)
    throw invalid('Session policies are not served here: leave out Policy and PolicyArns');
  const role = roleOf(arn, caller.accountId, region);
  const key = keys.find(caller.accessKeyId);
  if (role === undefined || key === undefined)
    throw new ApiError(
      'AccessDenied',
      `User: ${caller.arn} is not authorized to perform: sts:AssumeRole on resource: ${shown(arn)} because there are the roles of the CDK's bootstrap alone, of account ${caller.accountId} and region ${region}`,
      403,
    );
  const nowS = Math.floor(now() / SECOND_MS);
  // A session gives no longer one.
  const untilS = Math.min(nowS + seconds, caller.untilS ?? Infinity);
  const session = makeSession(key, {
    policy: narrower(caller.policy, role.policy),
    roleName: role.name,
    sessionName,
    untilS,
  });
  return {
    output: {
      Credentials: {
        AccessKeyId: session.accessKeyId,
        SecretAccessKey: session.secretAccessKey,
        SessionToken: session.sessionToken,
        Expiration: new Date(untilS * SECOND_MS),
      },
      AssumedRoleUser: {
        AssumedRoleId: `${idOf('AROA', role.name)}:${sessionName}`,
        Arn: assumedRoleArn(caller.accountId, { roleName: role.name, sessionName }),
      },
    },
  };
}

function invalid(message: string): ApiError {
  return new ApiError('ValidationError', `1 validation error detected: ${message}`);
}

/** An id as IAM gives it, the same for the same user or role. */
function userIdOf({ arn }: Caller): string {
  const role = /:assumed-role\/([^/]+)\/(.+)$/.exec(arn);
  return role === null ? idOf('AIDA', arn) : `${idOf('AROA', role[1])}:${role[2]}`;
}

function idOf(prefix: string, of: string): string {
  return prefix + idText(createHash('sha256').update(of).digest().subarray(0, ID_LENGTH));
}
