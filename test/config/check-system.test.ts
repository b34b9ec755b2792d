import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkSystem, namespaceHint } from '../../src/config/check-system.ts';
import type { Problem } from '../../src/source/problem.ts';
import { loadText } from './config-text.ts';

const NO_PID = 2 ** 22 + 1; // Above the largest pid_max of Linux.
const NOBODY = 65_534;

function check(text: string, tunDevice: string): string[] {
  const { config } = loadText(text);
  assert.ok(config);
  const problems: Problem[] = [];
  checkSystem(config, problems, { tunDevice });
  return problems.map(
    ({ at, path, message, hint }) => `${at?.line}:${at?.column} ${path}: ${message} | ${hint}`,
  );
}

test('everything that is missing is told at once, at the namespace it is about', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'sgt-system-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const plain = join(directory, 'plain');
  writeFileSync(plain, '');
  const text = `
uplink: { tun: up, netns: sgt-not-there }
interfaces:
  a: { device: { name: eth0, netns: ${plain} }, addresses: [10.0.0.1] }
  b: { device: { name: eth0, netns: ${NO_PID} }, addresses: [10.0.0.2] }
  c: { device: { name: eth0, netns: ${directory}/none }, addresses: [10.0.0.3] }
  d: { device: { name: eth9, netns: sgt-not-there }, addresses: [10.0.0.4] }
`;
  assert.deepEqual(check(text, join(directory, 'tun')), [
    '2:27 uplink.netns: the network namespace /run/netns/sgt-not-there does not exist; the interfaces in it wait | create it with: ip netns add sgt-not-there',
    `4:37 interfaces.a.device.netns: ${plain} is not a network namespace; the interfaces in it wait | name the file of a network namespace`,
    `5:37 interfaces.b.device.netns: there is no process ${NO_PID}; the interfaces in it wait | name a process that runs, or its namespace by path`,
    `6:37 interfaces.c.device.netns: the network namespace ${directory}/none does not exist; the interfaces in it wait | create it, or correct the path`,
    `0:0 : ${directory}/tun can't be opened: ENOENT | load the module with: modprobe tun; in a container, pass the device in: --device ${directory}/tun`,
  ]);
});

test('a namespace that is there passes', () => {
  const text = `interfaces: { a: { device: { name: eth0, netns: ${process.pid} }, addresses: [10.0.0.1] } }`;
  assert.deepEqual(check(text, '/dev/null'), []);
});

test('a file that may not be opened says how to be let in', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'sgt-system-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const closed = join(directory, 'tun');
  writeFileSync(closed, '', { mode: 0 });
  const lines = asNobody(() =>
    check('interfaces: { a: { device: { name: eth0 }, addresses: [10.0.0.1] } }', closed),
  );
  assert.deepEqual(lines, [
    `0:0 : ${closed} can't be opened: EACCES | run as root, or let this user read and write ${closed}; in a container, pass the device in: --device ${closed}`,
  ]);
});

/** Root may open every file; another user may not. */
function asNobody<T>(work: () => T): T {
  if (process.getuid?.() !== 0) return work();
  process.seteuid!(NOBODY);
  try {
    return work();
  } finally {
    process.seteuid!(0);
  }
}

test('who may not open a namespace is told how the service may, whichever way the kernel refuses', () => {
  for (const code of ['EACCES', 'EPERM'])
    assert.match(namespaceHint(code), /^run as root, .*; the service: install .*namespaces\.conf/);
  assert.equal(namespaceHint('ELOOP'), 'check the path');
});

test('a configuration without devices needs nothing of the system', () => {
  assert.deepEqual(check('securityGroups: { a: {} }', '/not/there'), []);
});
