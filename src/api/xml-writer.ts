/**
 * This file writes answers and errors as XML, by the wire table, in EC2's protocol or in the query protocol.
 */
import type { ApiError } from './action.ts';
import { type Value } from './action.ts';
import type { Operation, Scalar, Service, Structure, Type } from './wire-table.ts';

export const XML_TYPE = 'text/xml;charset=UTF-8';
export const DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n';

/** The whole answer of an action. */
export function writeAnswer(
  service: Service,
  operation: Operation,
  output: object,
  requestId: string,
): string {
  const { name } = operation;
  const open = `${DECLARATION}<${name}Response xmlns="${service.namespace}">`;
  const close = `</${name}Response>`;
  if (service.isEc2) {
    const body =
      operation.output === undefined
        ? '<return>true</return>'
        : membersText(operation.output, output);
    return `${open}<requestId>${requestId}</requestId>${body}${close}`;
  }
  const result =
    operation.output === undefined
      ? ''
      : `<${name}Result>${membersText(operation.output, output)}</${name}Result>`;
  const metadata = `<ResponseMetadata><RequestId>${requestId}</RequestId></ResponseMetadata>`;
  return `${open}${result}${metadata}${close}`;
}

const SERVER_ERROR = 500;

/** The whole body of an error. @param service undefined where the request did not say: EC2's form then */
export function writeError(
  service: Service | undefined,
  { code, message, status }: ApiError,
  requestId: string,
): string {
  const what = `<Code>${escapeXml(code)}</Code><Message>${escapeXml(message)}</Message>`;
  if (service === undefined || service.isEc2)
    return `${DECLARATION}<Response><Errors><Error>${what}</Error></Errors><RequestID>${requestId}</RequestID></Response>`;
  const type = status >= SERVER_ERROR ? 'Receiver' : 'Sender';
  return `${DECLARATION}<ErrorResponse xmlns="${service.namespace}"><Error><Type>${type}</Type>${what}</Error><RequestId>${requestId}</RequestId></ErrorResponse>`;
}

function membersText(structure: Structure, output: object): string {
  return writeMembers('', structure, output as Record<string, Value>);
}

/** Adds to the text. The engine keeps what is added piece by piece as a tree, and copies it once. */
function writeMembers(
  text: string,
  structure: Structure,
  values: Readonly<Record<string, Value | undefined>>,
): string {
  for (const { name, type, startTag, endTag } of structure.members) {
    const value = values[name];
    if (value !== undefined) text = writeValue(text + startTag, type, value, name) + endTag;
  }
  return text;
}

function writeValue(text: string, type: Type, value: Value, name: string): string {
  switch (type.kind) {
    case 'structure':
      return writeMembers(text, type, value as Record<string, Value>);
    case 'list': {
      const { item, startTag, endTag } = type;
      for (const each of value as readonly Value[])
        text = writeValue(text + startTag, item, each, name) + endTag;
      return text;
    }
    case 'map':
      for (const [key, each] of Object.entries(value as Record<string, string>))
        text += `<entry><key>${escapeXml(key)}</key><value>${escapeXml(each)}</value></entry>`;
      return text;
    default:
      return text + scalarText(type.kind, value, name);
  }
}

function scalarText(kind: Scalar, value: Value, name: string): string {
  switch (kind) {
    case 'timestamp':
      // With milliseconds and Z.
      return (value as Date).toISOString();
    case 'blob':
      return Buffer.from(value as Uint8Array).toString('base64');
    case 'boolean':
    case 'integer':
      return (value as boolean | number).toString();
    case 'string':
      if (typeof value !== 'string') throw new Error(`the answer's ${name} is no text`);
      return escapeXml(value);
    default:
      return kind satisfies never;
  }
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  // A parser makes a line feed of a carriage return that stands for itself.
  '\r': '&#13;',
};

/** What can't stand as it is in the content of an element. Most texts have nothing of it. */
const SPECIAL = /[\u0000-\u0008\u000b-\u001f&<>\ud800-\udfff\ufffe\uffff]/;

/** Text for the content of an element. What XML 1.0 can't carry becomes U+FFFD: the answer stays readable. */
export function escapeXml(text: string): string {
  if (!SPECIAL.test(text)) return text;
  return text
    .toWellFormed()
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd')
    .replace(/[&<>\r]/g, (character) => ENTITIES[character]);
}
