/** Finds out what this machine lacks for `sgctl run`, for that command and for the doctor. */
import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { findProgram } from './tools-path.ts';

/** Program and Debian's package. */
const PROGRAMS = [
  ['pasta', 'passt'],
  ['nft', 'nftables'],
  ['ip', 'iproute2'],
  ['unshare', 'util-linux'],
  ['nsenter', 'util-linux'],
  ['setpriv', 'util-linux'],
] as const;

/** Switches of the kernel and of distributions that keep users from user namespaces: name, value, a value to mend. */
const SWITCHES = [
  ['user.max_user_namespaces', '0', '10000'],
  ['kernel.unprivileged_userns_clone', '0', '1'],
  ['kernel.apparmor_restrict_unprivileged_userns', '1', '0'],
] as const;

const TUN_DEVICE = '/dev/net/tun';
const OTHERS_READ_AND_WRITE = 0o006;

export interface Missing {
  readonly found: string;
  readonly mend: string;
}

/** What is read of the machine. A test can replace it. */
export interface NeedsReader {
  readonly hasProgram: (name: string) => boolean;
  /** The content of a file of /proc; undefined if there is none. */
  readonly read: (path: string) => string | undefined;
  /** What is wrong with /dev/net/tun; undefined if nothing is. @param isForAll not only for who asks */
  readonly tunFault: (isForAll: boolean) => 'absent' | 'closed' | undefined;
}

const SYSTEM: NeedsReader = {
  hasProgram: (name) => findProgram(name) !== undefined,
  read: (path) => {
    try {
      return readFileSync(path, 'utf8').trim();
    } catch {
      return undefined;
    }
  },
  tunFault: (isForAll) => {
    const stat = statSync(TUN_DEVICE, { throwIfNoEntry: false });
    if (stat === undefined) return 'absent';
    if (isForAll)
      return (stat.mode & OTHERS_READ_AND_WRITE) === OTHERS_READ_AND_WRITE ? undefined : 'closed';
    try {
      accessSync(TUN_DEVICE, constants.R_OK | constants.W_OK);
      return undefined;
    } catch {
      return 'closed';
    }
  },
};

/** @param isForAll for every user, not only for who asks. @returns all that is missing, each with what mends it */
export function missingForRun(isForAll: boolean, reader: NeedsReader = SYSTEM): readonly Missing[] {
  const absent = PROGRAMS.filter(([program]) => !reader.hasProgram(program));
  const packages = [...new Set(absent.map(([, name]) => name))];
  const shut = SWITCHES.filter(
    ([name, wrong]) => reader.read(`/proc/sys/${name.replaceAll('.', '/')}`) === wrong,
  );
  const fault = reader.tunFault(isForAll);
  return [
    ...(absent.length === 0
      ? []
      : [
          {
            found: `${absent.map(([program]) => program).join(', ')} not found`,
            mend: `apt-get install ${packages.join(' ')}`,
          },
        ]),
    ...shut.map(([name, wrong, right]) => ({
      found: `no user namespaces for users: ${name} is ${wrong}`,
      mend: `sysctl -w ${name}=${right}, and in /etc/sysctl.d to keep it`,
    })),
    ...(fault === undefined ? [] : [tunMissing(fault)]),
  ];
}

function tunMissing(fault: 'absent' | 'closed'): Missing {
  return fault === 'absent'
    ? { found: `${TUN_DEVICE} is not there`, mend: 'modprobe tun' }
    : { found: `${TUN_DEVICE} is not for every user`, mend: `chmod 0666 ${TUN_DEVICE}` };
}
