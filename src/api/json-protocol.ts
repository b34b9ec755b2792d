/** JSON in and out, and a header that names the action ("AWS JSON 1.1"): SSM, and the calls of hosts. */
import { ApiError, type ServiceName, type Struct } from './action.ts';
import { shown } from './form.ts';
import type { Protocol } from './protocol.ts';
import { refusalOfForm } from './query-protocol.ts';

const TYPE = 'application/x-amz-json-1.1';
const SECOND_MS = 1000;

/** @param target what stands before the action in the header, without the dot */
export function jsonProtocol(
  service: ServiceName,
  target: string,
  actions: readonly string[],
): Protocol {
  const prefix = `${target}.`;
  const unknownAction = (action: string): ApiError =>
    new ApiError(
      'UnknownOperationException',
      `The action ${action} is not served here for ${service}.`,
    );
  return {
    service,
    has: (action) => actions.includes(action),
    refusalOfForm,
    readCall({ header, body }) {
      const named = header('x-amz-target') ?? '';
      if (!named.startsWith(prefix)) throw unknownAction(shown(named));
      return { action: named.slice(prefix.length), parameters: () => parse(body) };
    },
    unknownAction,
    writeAnswer: (_action, output) => ({ headers: { 'content-type': TYPE }, body: write(output) }),
    writeError: ({ code, message }) => ({
      headers: { 'content-type': TYPE },
      body: JSON.stringify({ __type: code, message }),
    }),
  };
}

function parse(body: Uint8Array): Struct {
  try {
    const value: unknown = JSON.parse(Buffer.from(body).toString('utf8'));
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return value as Struct;
  } catch {
    // Told below.
  }
  throw new ApiError('SerializationException', 'The body must be an object of JSON.');
}

/** Times are seconds in this protocol. JSON.stringify would ask Date itself how it is written. */
function write(output: object): string {
  return JSON.stringify(output, function (this: Record<string, unknown>, key, value: unknown) {
    const own = this[key];
    return own instanceof Date ? own.getTime() / SECOND_MS : value;
  });
}
