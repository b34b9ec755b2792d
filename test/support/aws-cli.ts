/**
 * Finds the aws CLIs of the machine. There are two lines, 1 and 2, and old ones of either read no AWS_ENDPOINT_URL: those
 * would ask AWS itself. So tests give each the endpoint in the way that it knows.
 */
import { spawnSync } from 'node:child_process';
import { findTools } from './require.ts';

export interface AwsCli {
  readonly path: string;
  /** `2.9.19` */
  readonly version: string;
  /** Whether it reads AWS_ENDPOINT_URL: from 2.13 and 1.29 on. Debian 12 has an older one. */
  readonly knowsEndpointVariable: boolean;
}

let found: readonly AwsCli[] | undefined;

/** One of each version, the first on the PATH first. */
export function awsClis(): readonly AwsCli[] {
  found ??= findTools('aws')
    .flatMap((path) => readVersion(path) ?? [])
    .filter(({ version }, i, all) => all.findIndex((one) => one.version === version) === i);
  return found;
}

/** Options that name the endpoint to a CLI that is not told by its environment. */
export function endpointOptions(cli: AwsCli, url: string): readonly string[] {
  return cli.knowsEndpointVariable ? [] : ['--endpoint-url', url];
}

function readVersion(path: string): AwsCli | undefined {
  const { stdout } = spawnSync(path, ['--version'], { encoding: 'utf8' });
  const [, version, major, minor] = /^aws-cli\/((\d+)\.(\d+)\S*)/.exec(stdout) ?? [];
  if (version === undefined) return undefined;
  return { path, version, knowsEndpointVariable: Number(minor) >= (major === '1' ? 29 : 13) };
}
