/**
 * What a stranger sent over the control socket, read: one line to a method and parameters of the kinds it takes.
 *
 * The types of protocol.ts are a promise of sgctl's; whoever may connect may send anything. So nothing behind this file
 * sees a value of a kind that it does not expect, and nothing here makes text of one: `String` of an object runs
 * what the object says, and of a deep list it runs out of stack. What a word or a number means is for the handler.
 *
 * A parameter that is not known is an error: a filter of a newer sgctl, passed over, would end connections that it was to spare.
 */
import { isUtf8 } from 'node:buffer';
import { RequestError, readWords, WORD_LENGTH_MAX } from '../views/traffic-filter.ts';
import { SERVICE_WORDS } from '../views/explain-names.ts';
import {
  PROTOCOL_VERSION,
  type MethodName,
  type Methods,
  type StreamName,
  type Streams,
} from './protocol.ts';

/** Of a stranger's word in our error. */
const SHOWN_MAX = 64;
const NO_OBJECT = 'a request is one JSON object a line';

type Name = MethodName | StreamName;
type ParamsOf<One extends Name> = One extends MethodName
  ? Methods[One]['params']
  : One extends StreamName
    ? Streams[One]['params']
    : never;

/** One parameter. */
interface Field {
  readonly isRequired?: true;
  /** @throws RequestError if it is of another kind */
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
const FLOWS = { ...TRAFFIC, states: words, openedBy: word, idleMs: wholeNumber };
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
  interfaces: {},
  groups: {},
  rules: { groups: words, direction: word, neverHit: yesOrNo, sort: word },
  flows: { ...FLOWS, sort: word, limit: wholeNumber },
  endFlows: FLOWS,
  drops: { interfaces: words, direction: word, reasons: words, sinceMs: wholeNumber },
  explainDrop: { id: wholeNumber },
  trace: { ...TRAFFIC, ...VERDICT, all: yesOrNo },
  top: { sort: word, limit: wholeNumber },
  capture: { ...TRAFFIC, ...VERDICT, snapLength: wholeNumber },
};

export const REQUEST_NAMES = Object.keys(REQUESTS) as readonly Name[];

/** A request whose parameters are of the kinds that its method takes. */
export interface CheckedRequest {
  readonly name: Name;
  readonly params: Readonly<Record<string, unknown>>;
}

/**
 * Reads one line without its newline. No bytes whatever make it throw anything else.
 * @throws RequestError in words for whoever sent it
 */
export function readRequest(bytes: Buffer): CheckedRequest {
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
  const fields = new Map<string, Field>(Object.entries(REQUESTS[name]));
  const given = new Map(Object.entries(params));
  for (const [key, value] of given) {
    const field = fields.get(key);
    if (field === undefined) {
      const known = fields.size === 0 ? 'no parameters' : [...fields.keys()].join(', ');
      throw new RequestError(
        `${name} has no parameter '${key.slice(0, SHOWN_MAX)}'; it takes ${known}`,
      );
    }
    field.check(value, key);
  }
  for (const [key, field] of fields)
    if (field.isRequired === true && !given.has(key))
      throw new RequestError(`${name} needs the parameter '${key}'`);
  return params;
}

/** Not too much of a stranger's word; of what is no word only what it is. */
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
