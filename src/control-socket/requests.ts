/**
 * This file reads untrusted requests: one line becomes a method and parameters of the types it takes.
 *
 * The types of protocol.ts are only sgctl's promise: whoever may connect may send anything. So no code behind this
 * file sees a value of a type that it does not expect. This file never converts an unknown value to text: `String` of
 * an object calls code that the sender chose, and `String` of a deep list overflows the stack. What a word or a
 * number means is checked by the handler.
 *
 * An unknown parameter is an error. If a filter of a newer sgctl were ignored, connections would be ended that it was
 * to spare.
 */
import { isUtf8 } from 'node:buffer';
import { RequestError, readWords, WORD_LENGTH_MAX } from '../queries/traffic-filter.ts';
import {
  DEVICE_KINDS,
  TAGS_MAX,
  type DeviceQuestion,
  type PoolQuestion,
} from '../queries/owned-interfaces.ts';
import { DRAFT_RULES_MAX, type PermissionDraft } from '../config/group-draft.ts';
import { SERVICE_WORDS } from '../explain/question-names.ts';
import {
  PROTOCOL_VERSION,
  type MethodName,
  type Methods,
  type StreamName,
  type Streams,
} from './protocol.ts';

const IDS_MAX = 2000;
/** PATH_MAX of Linux, without the NUL. */
const PATH_LENGTH_MAX = 4095;
/** Most characters of an untrusted word that an error repeats. */
const SHOWN_MAX = 64;
const NO_OBJECT = 'a request is one JSON object a line';

type Name = MethodName | StreamName;
type ParamsOf<One extends Name> = One extends MethodName
  ? Methods[One]['params']
  : One extends StreamName
    ? Streams[One]['params']
    : never;

/** How one parameter is checked. */
interface Field {
  readonly isRequired?: true;
  /** @throws RequestError if it has another type */
  readonly check: (value: unknown, name: string) => void;
}

type Fields<Params> = { readonly [Key in keyof Required<Params>]: Field };

const words: Field = { check: readWords };

const word: Field = {
  check(value, name) {
    if (typeof value !== 'string' || value.length > WORD_LENGTH_MAX)
      throw new RequestError(`${name} is a word of at most ${WORD_LENGTH_MAX} characters`);
  },
};

const yesOrNo: Field = {
  check(value, name) {
    if (typeof value !== 'boolean') throw new RequestError(`${name} is true or false`);
  },
};

const wholeNumber: Field = {
  check(value, name) {
    if (!Number.isSafeInteger(value) || Number(value) < 0)
      throw new RequestError(`${name} is a whole number, not below 0`);
  },
};

function oneOf(choices: readonly (string | number)[]): Field {
  return {
    check(value, name) {
      if (!choices.some((choice) => choice === value))
        throw new RequestError(`${name} is one of ${choices.join(', ')}`);
    },
  };
}

/** An id has 21 characters, so a request has room for no more. */
const ids: Field = {
  check(value, name) {
    if (!Array.isArray(value) || value.length > IDS_MAX)
      throw new RequestError(`${name} is a list of at most ${IDS_MAX} words`);
    for (const one of value as readonly unknown[]) word.check(one, `each of ${name}`);
  },
};

/** The name of a namespace, or a path. */
const path: Field = {
  check(value, name) {
    if (typeof value !== 'string' || value.length > PATH_LENGTH_MAX)
      throw new RequestError(`${name} is a text of at most ${PATH_LENGTH_MAX} characters`);
  },
};

const tags: Field = {
  check(value, name) {
    if (!isObject(value) || Object.keys(value).length > TAGS_MAX)
      throw new RequestError(`${name} is an object of at most ${TAGS_MAX} tags`);
    for (const one of Object.values(value))
      if (typeof one !== 'string') throw new RequestError(`each of ${name} is a text`);
  },
};

function object(fields: Readonly<Record<string, Field>>): Field {
  return {
    check(value, name) {
      if (!isObject(value)) throw new RequestError(`${name} is a JSON object`);
      checkFields(name, fields, value);
    },
  };
}

function list(of: Field, max: number): Field {
  return {
    check(value, name) {
      if (!Array.isArray(value) || value.length > max)
        throw new RequestError(`${name} is a list of at most ${max}`);
      for (const one of value as readonly unknown[]) of.check(one, `each of ${name}`);
    },
  };
}

function required({ check }: Field): Field {
  return { isRequired: true, check };
}

const TRAFFIC = {
  interfaces: words,
  protocols: words,
  ports: words,
  localPorts: words,
  remotePorts: words,
  addresses: words,
  locals: words,
  remotes: words,
  rules: words,
  groups: words,
};
const FLOWS = { ...TRAFFIC, states: words, openedBy: word, idleMs: wholeNumber, audit: yesOrNo };
const DEVICE: Fields<DeviceQuestion> = {
  kind: oneOf(DEVICE_KINDS),
  name: word,
  netns: path,
  mtu: wholeNumber,
  configure: yesOrNo,
  persist: yesOrNo,
};
const POOL: Fields<PoolQuestion> = {
  cidr: required(word),
  subnet: word,
  vpc: word,
  range: word,
};
const PERMISSION: Fields<PermissionDraft> = {
  protocol: required(word),
  ports: word,
  type: word,
  code: word,
  peer: required(word),
  description: word,
  tlsName: oneOf(['required']),
  audit: yesOrNo,
};
const PERMISSIONS = required(list(object(PERMISSION), DRAFT_RULES_MAX));
const VERDICT = { verdict: word, direction: word, reasons: words };

/** The parameters of each method and stream. */
const REQUESTS: { readonly [One in Name]: Fields<ParamsOf<One>> } = {
  status: {},
  explain: {
    from: required(word),
    to: required(word),
    service: required(oneOf(SERVICE_WORDS)),
    detail: required(word),
    sourcePort: wholeNumber,
    family: oneOf([4, 6]),
  },
  reload: { dryRun: yesOrNo },
  configuration: { unless: word },
  preview: { group: required(word), ingress: PERMISSIONS, egress: PERMISSIONS },
  interfaces: {},
  addInterface: {
    id: required(word),
    owner: required(word),
    device: object(DEVICE),
    addresses: required(words),
    leased: yesOrNo,
    securityGroups: required(words),
    tags,
  },
  removeInterface: { id: required(word) },
  attachInterface: {
    id: required(word),
    attachment: required(word),
    owner: required(word),
    device: object(DEVICE),
    addresses: words,
  },
  detachInterface: { attachment: required(word) },
  findSubnet: POOL,
  leaseAddress: { ...POOL, owner: required(word), address: word },
  releaseAddress: { owner: required(word), vpc: required(word), address: required(word) },
  setInterfaceGroups: { id: required(word), securityGroups: required(words) },
  getInterface: { id: required(word) },
  listInterfaces: { owner: word },
  reconcileInterfaces: { owner: required(word), keep: required(ids) },
  instance: { address: required(word) },
  platform: {},
  groups: {},
  rules: { groups: words, direction: word, neverHit: yesOrNo, sort: word },
  flows: { ...FLOWS, sort: word, limit: wholeNumber },
  endFlows: FLOWS,
  drops: {
    interfaces: words,
    direction: word,
    reasons: words,
    sinceMs: wholeNumber,
    audit: yesOrNo,
  },
  names: { interfaces: words, limit: wholeNumber },
  explainDrop: { id: wholeNumber },
  trace: { ...TRAFFIC, ...VERDICT, all: yesOrNo, eachWay: yesOrNo },
  top: { sort: word, limit: wholeNumber },
  capture: { ...TRAFFIC, ...VERDICT, snapLength: wholeNumber },
};

export const REQUEST_NAMES = Object.keys(REQUESTS) as readonly Name[];

/** A request whose parameters have the types that its method takes. */
export interface CheckedRequest {
  readonly name: Name;
  readonly params: Readonly<Record<string, unknown>>;
}

/**
 * Reads one line without its newline. Whatever the bytes are, it throws nothing but RequestError.
 * @param answered the requests that the socket answers
 * @throws RequestError with a message for the client
 */
export function readRequest(
  bytes: Buffer,
  answered: readonly string[] = REQUEST_NAMES,
): CheckedRequest {
  const request = parseObject(bytes);
  const { version, method, params } = request;
  if (version !== PROTOCOL_VERSION) {
    throw new RequestError(
      `this daemon speaks version ${PROTOCOL_VERSION} of the protocol, not ${shown(version)}; use the sgctl that came with it`,
    );
  }
  const name = REQUEST_NAMES.find((one) => one === method);
  if (name === undefined) {
    throw new RequestError(
      `unknown method '${shown(method)}'; there are ${REQUEST_NAMES.join(', ')}`,
    );
  }
  if (!answered.includes(name))
    throw new RequestError(`this socket answers ${answered.join(' and ')} alone`);
  if (params === undefined) return { name, params: checkParams(name, {}) };
  if (!isObject(params)) throw new RequestError('params is a JSON object');
  return { name, params: checkParams(name, params) };
}

function parseObject(bytes: Buffer): Readonly<Record<string, unknown>> {
  if (!isUtf8(bytes)) throw new RequestError('a request is UTF-8 text');
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    throw new RequestError(NO_OBJECT);
  }
  if (!isObject(value)) throw new RequestError(NO_OBJECT);
  return value;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function checkParams(
  name: Name,
  params: Readonly<Record<string, unknown>>,
): CheckedRequest['params'] {
  checkFields(name, REQUESTS[name], params);
  return params;
}

function checkFields(
  name: string,
  known: Readonly<Record<string, Field>>,
  params: Readonly<Record<string, unknown>>,
): void {
  const fields = new Map<string, Field>(Object.entries(known));
  const given = new Map(Object.entries(params));
  for (const [key, value] of given) {
    const field = fields.get(key);
    if (field === undefined) {
      const taken = fields.size === 0 ? 'no parameters' : [...fields.keys()].join(', ');
      throw new RequestError(
        `${name} has no parameter '${key.slice(0, SHOWN_MAX)}'; it takes ${taken}`,
      );
    }
    field.check(value, key);
  }
  for (const [key, field] of fields)
    if (field.isRequired === true && !given.has(key))
      throw new RequestError(`${name} needs the parameter '${key}'`);
}

/** Describes an untrusted value for an error: the beginning of a word, or only the type of anything else. */
function shown(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return value.slice(0, SHOWN_MAX);
    case 'number':
    case 'boolean':
      return String(value);
    case 'undefined':
      return 'none';
    default:
      return value === null ? 'null' : Array.isArray(value) ? 'a list' : 'an object';
  }
}
