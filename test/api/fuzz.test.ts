/** Garbage over real connections: mutated requests, forged ones, many at once. The server lives and answers who is honest. */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { BODY_BYTES_MAX, BODY_FREE, BODY_MAX } from '../../src/api/connections.ts';
import { until } from '../support/until.ts';
import { send, signedHeaders } from './request.ts';
import { READER, startService, WRITER } from './service.ts';

const BODY =
  'Action=DescribeRegions&Version=2016-11-15&Filter.1.Name=region-name&Filter.1.Value.1=us-*';
const RUNS = 400;

/** A signed request as bytes. */
function requestBytes(port: number, body = BODY, length = Buffer.byteLength(body)): Buffer {
  const headers = {
    ...signedHeaders(WRITER, port, { body }),
    'content-length': String(length),
    connection: 'close',
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  return Buffer.from(`POST / HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${body}`);
}

/** Sends bytes, closes this direction, and reads what comes until the other end closes. */
async function exchange(port: number, bytes: Buffer): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('error', () => undefined);
  socket.end(bytes);
  await new Promise<void>((resolve) => socket.once('close', () => resolve()));
  return Buffer.concat(chunks).toString('latin1');
}

interface Mutation {
  readonly kind: 'flip' | 'cut' | 'twice' | 'insert';
  /** Where, as a part of the whole. */
  readonly at: number;
  readonly bytes: Uint8Array;
}

const mutation: fc.Arbitrary<Mutation> = fc.record({
  kind: fc.constantFrom('flip', 'cut', 'twice', 'insert'),
  at: fc.double({ min: 0, max: 0.999, noNaN: true }),
  bytes: fc.uint8Array({ minLength: 1, maxLength: 12 }),
});

function mutate(bytes: Buffer, { kind, at, bytes: other }: Mutation): Buffer {
  const place = Math.floor(at * bytes.length);
  const [before, after] = [bytes.subarray(0, place), bytes.subarray(place)];
  switch (kind) {
    case 'flip': {
      const flipped = Buffer.from(bytes);
      if (flipped.length > 0) flipped[place] ^= other[0] | 1;
      return flipped;
    }
    case 'cut':
      return before;
    case 'twice':
      return Buffer.concat([bytes, after]);
    case 'insert':
      return Buffer.concat([before, other, after]);
    default:
      return kind satisfies never;
  }
}

test('mutated requests are answered with an error or as before, and none fails in the server', async (t) => {
  const { port, logged, records } = await startService(t, {
    headersTimeoutMs: 2000,
    requestTimeoutMs: 2000,
  });
  assert.match(await exchange(port, requestBytes(port)), /^HTTP\/1\.1 200 OK\r\n/);
  await fc.assert(
    fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 4 }), async (mutations) => {
      const answer = await exchange(port, mutations.reduce(mutate, requestBytes(port)));
      // Nothing at all where the request was cut off.
      assert.match(answer, /^($|HTTP\/1\.1 (200|4\d\d) )/);
    }),
    { numRuns: RUNS },
  );
  assert.deepEqual(
    logged.filter((line) => !line.startsWith('a client asked for')),
    [],
  );
  assert.deepEqual(
    records.filter(({ status }) => status >= 500),
    [],
  );
  assert.equal((await send(port, READER, { body: BODY })).status, 200);
});

test('whatever a form says to an action, it is no failure of ours', async (t) => {
  const { port, logged } = await startService(t);
  const name = fc.constantFrom(
    'RegionName.1',
    'Filter.1.Name',
    'Filter.1.Value.1',
    'Filter.2.Value.1',
    'ZoneId.1',
    'AttributeName.1',
    'DryRun',
    'AllRegions',
    'Version',
    'Action',
    'x',
  );
  const action = fc.constantFrom(
    'DescribeRegions',
    'DescribeAvailabilityZones',
    'DescribeAccountAttributes',
    'GetCallerIdentity',
  );
  await fc.assert(
    fc.asyncProperty(
      action,
      fc.array(fc.tuple(name, fc.string({ maxLength: 6 }))),
      async (chosen, pairs) => {
        const body = new URLSearchParams([['Action', chosen], ...pairs]).toString();
        const { status } = await send(port, WRITER, { body });
        assert.ok(status < 500, String(status));
      },
    ),
    { numRuns: RUNS },
  );
  assert.deepEqual(
    logged.filter((line) => !line.startsWith('a client asked for')),
    [],
  );
});

test('a thousand connections with large bodies that do not end keep no ordinary call out', async (t) => {
  const { port, records } = await startService(t, { connectionsMax: 400 });
  const part = Buffer.concat([requestBytes(port, '', BODY_MAX), Buffer.alloc(BODY_MAX - 1, 'a')]);
  const sockets: Socket[] = [];
  t.after(() => sockets.forEach((socket) => socket.destroy()));
  const isFull = (): boolean => records.some(({ outcome }) => outcome === 'ServiceUnavailable');
  // A call of the kind that everybody makes, in between and at the end.
  for (let i = 0; i < 1000; i++) {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(part);
    sockets.push(socket);
    if (i % 100 === 99) assert.equal((await send(port, READER, { body: BODY })).status, 200);
  }
  await until('the bodies fill the room that they share', isFull);
  assert.ok(BODY_BYTES_MAX < 400 * (BODY_MAX - BODY_FREE));
  assert.equal((await send(port, READER, { body: BODY })).status, 200);
});
