#!/usr/bin/env node
/**
 * secgroupd-cni: the CNI plugin. A container runtime starts it for each interface, with the call in its environment and
 * the network's configuration on standard input. It asks the daemon, and holds no right of its own.
 *
 * Runtimes ask for the version all the time. So that is answered before anything else is loaded.
 */
import { NEWEST, VERSIONS } from './versions.ts';

if (process.env['CNI_COMMAND'] === 'VERSION') {
  print({ cniVersion: NEWEST, supportedVersions: VERSIONS });
} else {
  const { call } = await import('./call.ts');
  const { code, answer } = await call(process.env, process.stdin);
  if (answer !== undefined) print(answer);
  process.exitCode = code;
}

function print(answer: object): void {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
