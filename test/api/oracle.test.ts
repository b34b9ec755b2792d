/** The SDK's own codec as an oracle: what it writes is read as what was meant, and what is written it reads as that. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { wireTables } from '../../scripts/wire/tables.ts';
import { ApiError, type Struct } from '../../src/api/action.ts';
import { readPairs } from '../../src/api/form.ts';
import { readParameters } from '../../src/api/query-reader.ts';
import { SERVICES } from '../../src/api/services.ts';
import { writeAnswer, writeError } from '../../src/api/xml-writer.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { repositoryRoot } from '../support/repository.ts';
import {
  offlineClient,
  requireSdk,
  type SdkAnswer,
  type SdkClient,
  type SdkRequest,
} from './sdk.ts';
import { structure } from './values.ts';

const RUNS = 30;
const REQUEST_ID = '0f6a1c1e-3f1c-4b43-9d3a-5a1b9b1c2d3e';

test('the checked-in table is the one that the SDK has', async (t) => {
  if (!requireSdk(t)) return;
  for (const [path, text] of await wireTables())
    // Not assert.equal: to tell two long lines apart takes it minutes.
    assert.ok(
      readFileSync(join(repositoryRoot(), path), 'utf8') === text,
      `${path} is not what scripts/generate-wire writes: run it`,
    );
});

/** Tokens that the SDK makes up where they are missing. */
const MADE_UP: ReadonlySet<string> = new Set(['ClientToken', 'ClientRequestToken']);

for (const service of SERVICES.values())
  describe(service.name, () => {
    let asked: SdkRequest | undefined;
    let answer: SdkAnswer = { status: 200, body: '' };
    let client: Promise<SdkClient> | undefined;
    const call = async (action: string, input: object): Promise<Record<string, unknown>> => {
      client ??= offlineClient(service.name, (request) => {
        asked = request;
        return answer;
      });
      return (await client).call(action, input);
    };

    for (const name of service.operationNames) {
      const operation = service.operation(name)!;

      test(`${name}: its parameters are read as the SDK was given them`, async (t) => {
        if (!requireSdk(t)) return;
        answer = { status: 200, body: writeAnswer(service, operation, {}, REQUEST_ID) };
        await fc.assert(
          fc.asyncProperty(structure(operation.input), async (input) => {
            await call(name, input);
            const pairs = readPairs(asked!.body);
            assert.deepEqual(pairs.slice(0, 2), [
              ['Action', name],
              ['Version', service.version],
            ]);
            const read = readParameters(service, operation, pairs.slice(2));
            assert.deepEqual(withoutMadeUp(read, input), plain(input));
          }),
          {
            numRuns: RUNS,
            interruptAfterTimeLimit: GUARD_MS,
            markInterruptAsFailure: true,
            endOnFailure: true,
          },
        );
      });

      test(`${name}: its answer is read by the SDK as it was given`, async (t) => {
        if (!requireSdk(t)) return;
        const { output: shape } = operation;
        if (shape === undefined) {
          answer = { status: 200, body: writeAnswer(service, operation, {}, REQUEST_ID) };
          assert.deepEqual(await call(name, {}), {});
          return;
        }
        await fc.assert(
          fc.asyncProperty(structure(shape), async (output) => {
            answer = { status: 200, body: writeAnswer(service, operation, output, REQUEST_ID) };
            assert.deepEqual(plain(await call(name, {})), plain(output));
          }),
          {
            numRuns: RUNS,
            interruptAfterTimeLimit: GUARD_MS,
            markInterruptAsFailure: true,
            endOnFailure: true,
          },
        );
      });
    }

    test('an error is read by the SDK with code, message and status', async (t) => {
      if (!requireSdk(t)) return;
      const error = new ApiError('Throttling', 'too <fast> & "so"', 400);
      answer = { status: error.status, body: writeError(service, error, REQUEST_ID) };
      await assert.rejects(call(service.operationNames[0], {}), (thrown: object) => {
        const { name, message, $metadata } = thrown as {
          name: string;
          message: string;
          $metadata: object;
        };
        assert.deepEqual([name, message], ['Throttling', 'too <fast> & "so"']);
        assert.equal(($metadata as { httpStatusCode: number }).httpStatusCode, 400);
        return true;
      });
    });
  });

function withoutMadeUp(read: Struct, input: Struct): unknown {
  return Object.fromEntries(
    Object.entries(read).filter(([name]) => name in input || !MADE_UP.has(name)),
  );
}

/** Without prototypes, and with what the SDK hands out as its own kind of bytes. */
function plain(value: unknown): unknown {
  if (value instanceof Date) return value;
  if (value instanceof Uint8Array) return Uint8Array.from(value);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, plain(each)]));
}
