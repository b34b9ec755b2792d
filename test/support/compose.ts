/** Finds Docker Compose, the newest that is here: Debian's own, or the one that scripts/setup has put beside it. */
import { existsSync } from 'node:fs';
import { spawnSync } from 'node:child_process';

/** Compose reads `driver_opts` of a service's network from this version on. */
const SERVICE_OPTIONS = [2, 27, 1];
const PLACES = [
  '/var/cache/secgroupd-test/compose/usr/libexec/docker/cli-plugins/docker-compose',
  '/usr/libexec/docker/cli-plugins/docker-compose',
  '/usr/bin/docker-compose',
];

export interface Compose {
  readonly program: string;
  readonly version: string;
  readonly hasServiceOptions: boolean;
}

/** Undefined: there is none. */
export function findCompose(): Compose | undefined {
  const found = PLACES.filter((place) => existsSync(place)).flatMap((program) => {
    const { stdout, status } = spawnSync(program, ['version', '--short'], { encoding: 'utf8' });
    const version = /^\d+\.\d+\.\d+/.exec(stdout)?.[0];
    if (status !== 0 || version === undefined) return [];
    const hasServiceOptions = compare(version.split('.').map(Number), SERVICE_OPTIONS) >= 0;
    return [{ program, version, hasServiceOptions }];
  });
  return found.find(({ hasServiceOptions }) => hasServiceOptions) ?? found[0];
}

function compare(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((part, i) => part !== b[i]);
  return at === -1 ? 0 : a[at] - b[at];
}
