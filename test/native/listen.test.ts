/** Sockets that are bound in another namespace, before the address is there. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { makeNetns } from '../support/netns.ts';
import { requireRoot, requireTools } from '../support/require.ts';
import { native } from './support.ts';

test('a socket has its address here, whether or not a device has it', async () => {
  const server = createServer();
  const listening = once(server, 'listening');
  server.listen({ fd: native.bindSocket(undefined, '192.0.2.7', 0, true, 1) });
  await listening;
  assert.equal((server.address() as AddressInfo).address, '192.0.2.7');
  server.close();
  const socket = createSocket('udp6');
  const bound = once(socket, 'listening');
  socket.bind({ fd: native.bindSocket(undefined, '2001:db8::7', 0, false, 0) });
  await bound;
  assert.equal(socket.address().address, '2001:db8::7');
  socket.close();
});

test('in another namespace, where it is reached', async (t) => {
  if (!requireRoot(t) || !requireTools(t, 'ip', 'curl')) return;
  const netns = await makeNetns(t);
  const server = createServer((socket) => socket.end('HTTP/1.0 200 OK\r\n\r\nhere'));
  const listening = once(server, 'listening');
  server.listen({ fd: native.bindSocket(netns.path, '192.0.2.7', 80, true, 0) });
  await listening;
  t.after(() => server.close());
  await netns.mustRun('ip', ['link', 'set', 'lo', 'up']);
  await netns.mustRun('ip', ['address', 'add', '192.0.2.7/32', 'dev', 'lo']);
  assert.equal(await netns.mustRun('curl', ['-sS', '-m', '5', 'http://192.0.2.7/']), 'here');
});

test('wrong arguments, and what the kernel refuses', () => {
  assert.throws(() => native.bindSocket(undefined, 'x', 80, true, 0), /address must be an IPv4/);
  assert.throws(() => native.bindSocket(undefined, '127.0.0.1', 65536, true, 0), RangeError);
  assert.throws(() => native.bindSocket('/nowhere/ns', '127.0.0.1', 0, true, 0), {
    code: 'ENOENT',
  });
  const fd = native.bindSocket(undefined, '127.0.0.1', 0, true, 0);
  native.closeFd(fd);
});
