/** The protocol of EC2, STS and CloudFormation: pairs of a form in, XML out, both by the wire table. */
import { ApiError } from './action.ts';
import { isOfSignature } from './credential.ts';
import { readPairs, shown, type Pair } from './form.ts';
import type { Protocol, ReadRequest, RequestHead } from './protocol.ts';
import { readParameters } from './query-reader.ts';
import type { Service } from './wire-table.ts';
import { writeAnswer, writeError, XML_TYPE } from './xml-writer.ts';

const UTF8 = new TextDecoder('utf-8', { fatal: true });
const FORM = 'application/x-www-form-urlencoded';
const XML = { 'content-type': XML_TYPE };

/** @param table of a service */
export function queryProtocol(table: Service): Protocol {
  return {
    service: table.name,
    has: (action) => table.operation(action) !== undefined,
    refusalOfForm,
    readCall(request) {
      const pairs = [...request.query, ...formPairs(request)];
      const names = pairs.filter(([name]) => name === 'Action').map(([, value]) => value);
      if (names.length !== 1)
        throw new ApiError(
          'MissingAction',
          'The request must name one action: Action=DescribeRegions.',
        );
      const [action] = names;
      return {
        action,
        parameters: () => {
          checkVersion(table, pairs);
          return readParameters(table, table.operation(action)!, pairs.filter(isParameter));
        },
      };
    },
    unknownAction: (action) =>
      new ApiError(
        'InvalidAction',
        `The action ${action} is not served here for ${table.name} version ${table.version}.`,
      ),
    writeAnswer: (action, output, requestId) => ({
      headers: XML,
      body: writeAnswer(table, table.operation(action)!, output, requestId),
    }),
    writeError: (error, requestId) => ({ headers: XML, body: writeError(table, error, requestId) }),
  };
}

/** What no client of such a service sends. */
export function refusalOfForm({ method, path, header }: RequestHead): ApiError | undefined {
  if (method !== 'POST' && method !== 'GET')
    return new ApiError('InvalidAction', 'Requests are made with POST or GET.', 405);
  if (path !== '/')
    return new ApiError('InvalidAction', 'Requests are made to the path / alone.', 404);
  if ((header('content-encoding') ?? 'identity') !== 'identity')
    return new ApiError('MalformedQueryString', 'The body must not be compressed.', 415);
  return undefined;
}

function formPairs({ body, header }: ReadRequest): Pair[] {
  if (body.length === 0) return [];
  const [type] = (header('content-type') ?? '').split(';', 1);
  if (type.trim().toLowerCase() !== FORM)
    throw new ApiError('MalformedQueryString', `The body must be of the type ${FORM}.`, 415);
  let text: string;
  try {
    text = UTF8.decode(body);
  } catch {
    throw new ApiError('MalformedQueryString', 'The body has bytes that are no UTF-8.');
  }
  return readPairs(text);
}

function checkVersion({ name, version }: Service, pairs: readonly Pair[]): void {
  for (const [parameter, value] of pairs)
    if (parameter === 'Version' && value !== version)
      throw new ApiError(
        'NoSuchVersion',
        `The version ${shown(value)} of ${name} is not served; ${version} is.`,
      );
}

function isParameter([name]: Pair): boolean {
  return name !== 'Action' && name !== 'Version' && !isOfSignature(name);
}
