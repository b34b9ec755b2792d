/** Why a request is refused before its action is called, in the words and codes of the service that it is for. */
import type { StoreError } from '../store/store.ts';
import { ApiError, type Caller, type Policy, type ServiceName } from './action.ts';
import type { Refusal } from './signature.ts';

const UNAUTHORIZED = 401;
const FORBIDDEN = 403;
const UNAVAILABLE = 503;

/** The codes of services for one thing each. EC2 says less than the others: only the log has more. */
interface Codes {
  readonly unknownKey: string;
  readonly wrongToken: string;
  readonly expiredToken: string;
  readonly wrongSignature: string;
  readonly late: string;
  /** Of HTTP, for all of these. */
  readonly status: number;
  readonly notAllowed: string;
  readonly tooFast: string;
  readonly internal: string;
}

const QUERY: Codes = {
  unknownKey: 'InvalidClientTokenId',
  wrongToken: 'InvalidClientTokenId',
  expiredToken: 'ExpiredToken',
  wrongSignature: 'SignatureDoesNotMatch',
  late: 'SignatureDoesNotMatch',
  status: FORBIDDEN,
  notAllowed: 'AccessDenied',
  tooFast: 'Throttling',
  internal: 'InternalFailure',
};
const JSON_PROTOCOL: Codes = {
  unknownKey: 'UnrecognizedClientException',
  wrongToken: 'UnrecognizedClientException',
  expiredToken: 'ExpiredTokenException',
  wrongSignature: 'InvalidSignatureException',
  late: 'InvalidSignatureException',
  status: 400,
  notAllowed: 'AccessDeniedException',
  tooFast: 'ThrottlingException',
  internal: 'InternalServerError',
};
const CODES: Readonly<Record<Exclude<ServiceName, 'ec2'>, Codes>> = {
  sts: QUERY,
  cloudformation: QUERY,
  s3: {
    ...QUERY,
    unknownKey: 'InvalidAccessKeyId',
    wrongToken: 'InvalidToken',
    late: 'RequestTimeTooSkewed',
    tooFast: 'SlowDown',
    internal: 'InternalError',
  },
  ssm: JSON_PROTOCOL,
  secgroupd: JSON_PROTOCOL,
};

/** A signature that does not count, told as AWS does. EC2 does not say what is wrong with it; the log does. */
export function signatureError(service: ServiceName, refusal: Refusal): ApiError {
  const isLate = refusal === 'expired' || refusal === 'not-yet-valid';
  if (service === 'ec2') {
    return isLate || refusal === 'expired-token'
      ? new ApiError(
          'RequestExpired',
          isLate
            ? 'Request has expired. Its time and that of the server are too far apart.'
            : 'Request has expired. The session of its credentials has ended.',
        )
      : new ApiError(
          'AuthFailure',
          'AWS was not able to validate the provided access credentials',
          UNAUTHORIZED,
        );
  }
  const { unknownKey, wrongToken, expiredToken, wrongSignature, late, status } = CODES[service];
  if (refusal === 'unknown-key' || refusal === 'wrong-token')
    return new ApiError(
      refusal === 'unknown-key' ? unknownKey : wrongToken,
      'The security token included in the request is invalid.',
      status,
    );
  if (refusal === 'expired-token')
    return new ApiError(
      expiredToken,
      'The security token included in the request is expired',
      status,
    );
  if (isLate)
    return new ApiError(
      late,
      'Signature expired or not yet valid: the time of the request and that of the server are too far apart.',
      status,
    );
  return new ApiError(
    wrongSignature,
    'The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method.',
    status,
  );
}

export function internalFailure(service: ServiceName, requestId: string): ApiError {
  return new ApiError(
    service === 'ec2' ? 'InternalError' : CODES[service].internal,
    `An internal error has occurred; the server's log has it under ${requestId}`,
    500,
  );
}

export function notSigned(): ApiError {
  return new ApiError(
    'MissingAuthenticationToken',
    'Request is missing Authentication Token: sign it with a key of this endpoint.',
    FORBIDDEN,
  );
}

/** A key that may only read, for an action that writes. */
export function notAllowed(
  service: ServiceName,
  action: string,
  { arn, name, policy }: Caller,
): ApiError {
  const why = `User: ${arn} is not authorized to perform: ${service}:${action} because the key '${name}' ${MAY[policy]}`;
  return service === 'ec2'
    ? new ApiError(
        'UnauthorizedOperation',
        `You are not authorized to perform this operation. ${why}`,
        FORBIDDEN,
      )
    : new ApiError(CODES[service].notAllowed, why, FORBIDDEN);
}

/** What a key may do that may not do all. */
const MAY: Readonly<Record<Policy, string>> = {
  read: 'may only read',
  write: 'is not that of a host',
  host: 'may only ask for what the instances of its host need',
};

export function tooFast(service: ServiceName): ApiError {
  return service === 'ec2'
    ? new ApiError('RequestLimitExceeded', 'Request limit exceeded.', UNAVAILABLE)
    : new ApiError(CODES[service].tooFast, 'Rate exceeded', service === 's3' ? UNAVAILABLE : 400);
}

export function unknownService(service: string): ApiError {
  return new ApiError(
    'InvalidAction',
    `The service ${service} is not served here: the request was signed for it.`,
  );
}

/** The store failed. Where it is on the server is not the client's affair; the server's log says it. */
export function storeFailure({ fault, committed }: StoreError, requestId: string): ApiError {
  const what = fault === 'full' ? 'has no room' : fault === 'busy' ? 'is busy' : 'failed';
  const outcome =
    committed === 'no'
      ? 'Nothing was changed.'
      : 'It is not known whether the change was made: look before you repeat it.';
  const message = `The store ${what}. ${outcome} The server's log has it under ${requestId}`;
  return new ApiError('ServiceUnavailable', message, UNAVAILABLE);
}
