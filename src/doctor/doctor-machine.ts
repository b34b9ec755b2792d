/**
 * These checks of `secgroupd doctor` need no configuration: kernel, device node, capabilities, offloads, clock and
 * limits.
 */
import { closeSync, openSync } from 'node:fs';
import type { Native, NativeError } from '../ports/native.ts';
import { TUN_DEVICE } from '../config/check-system.ts';
import type { Check, Reader, ServiceView } from './doctor-check.ts';

/** The first kernel with TUNGETDEVNETNS, which identifies a kept device. */
const KERNEL_LEAST = [5, 2] as const;
/** The first kernel with UDP segmentation offload on TUN. */
const KERNEL_USO = [6, 2] as const;
const NODE_LEAST = 20;
/**
 * The day after which a release gets no more fixes (schedule of github.com/nodejs/Release). Odd ones last half a year.
 */
const NODE_ENDS: ReadonlyMap<number, string> = new Map([
  [20, '2026-04-30'],
  [21, '2024-06-01'],
  [22, '2027-04-30'],
  [23, '2025-06-01'],
  [24, '2028-04-30'],
  [25, '2026-06-01'],
]);

// The numbers are from capabilities(7). /proc/self/status has the set.
const CAPABILITIES = [
  {
    number: 12,
    name: 'CAP_NET_ADMIN',
    status: 'fail',
    means: 'no TUN or TAP can be opened or configured',
  },
  {
    number: 21,
    name: 'CAP_SYS_ADMIN',
    status: 'warn',
    means: 'devices in other network namespaces can not be opened; the own one works',
  },
] as const;

const FAST_CLOCKS = new Set([
  'tsc',
  'kvm-clock',
  'arch_sys_counter',
  'hyperv_clocksource_tsc_page',
]);

/** Descriptors that the daemon needs besides its devices: log, sockets, clients, and those of Node.js. */
const FDS_BESIDES = 128;

export interface MachineOptions {
  /** Undefined if the addon could not be loaded. */
  readonly native: Native | undefined;
  readonly reader: Reader;
  /** How many descriptors the devices of the configuration take. */
  readonly descriptors: number;
  /** How many other namespaces it names. Undefined if there is no configuration. */
  readonly namespaces: number | undefined;
}

export function checkMachine({ native, reader, descriptors, namespaces }: MachineOptions): Check[] {
  return [
    checkKernel(reader),
    checkNode(reader, Date.now()),
    checkTunDevice(),
    ...(reader.service === undefined
      ? checkCapabilities(reader)
      : checkService(reader.service, namespaces)),
    ...(native === undefined ? [] : [checkOffloads(native, reader.service !== undefined)]),
    checkClock(reader),
    checkDescriptors(reader, descriptors),
  ];
}

export function checkKernel({ kernel }: Pick<Reader, 'kernel'>): Check {
  const version = kernel.split(/[.-]/).map(Number);
  const found = `Linux ${kernel}`;
  if (isOlder(version, KERNEL_LEAST))
    return {
      name: 'kernel',
      status: 'warn',
      found,
      means: 'devices are not kept over a restart: connections wait until they are made again',
      mend: `use Linux ${KERNEL_LEAST.join('.')} or newer`,
    };
  if (isOlder(version, KERNEL_USO))
    return {
      name: 'kernel',
      status: 'warn',
      found,
      means: 'no UDP segmentation offload on TUN: UDP streams cost more',
      mend: `use Linux ${KERNEL_USO.join('.')} or newer`,
    };
  return { name: 'kernel', status: 'ok', found };
}

function isOlder(version: readonly number[], least: readonly [number, number]): boolean {
  const [major = 0, minor = 0] = version;
  return major < least[0] || (major === least[0] && minor < least[1]);
}

/** Checks the release of Node.js. @param nowMs as from Date.now */
export function checkNode({ node }: Pick<Reader, 'node'>, nowMs: number): Check {
  const found = `Node.js ${node}`;
  const release = Number(/^v(\d+)/.exec(node)?.[1]);
  if (!(release >= NODE_LEAST))
    return {
      name: 'node',
      status: 'fail',
      found,
      means: 'the daemon is not made for it',
      mend: `install Node.js ${NODE_LEAST} or newer`,
    };
  const end = NODE_ENDS.get(release);
  if (end === undefined || nowMs < Date.parse(end)) return { name: 'node', status: 'ok', found };
  return {
    name: 'node',
    status: 'warn',
    found,
    means: `this release has had no security fixes since ${end}`,
    mend: 'use a release that is maintained (https://nodejs.org/en/about/previous-releases), or the Debian package, which brings one',
  };
}

function checkTunDevice(): Check {
  try {
    closeSync(openSync(TUN_DEVICE, 'r+'));
    return { name: 'tun', status: 'ok', found: `${TUN_DEVICE} can be opened` };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    const isDenied = code === 'EACCES' || code === 'EPERM';
    return {
      name: 'tun',
      status: 'fail',
      found: `${TUN_DEVICE} can't be opened: ${code}`,
      means: 'no device can be opened',
      mend: isDenied
        ? `run as root, or let this user read and write ${TUN_DEVICE}`
        : `load the module with: modprobe tun; in a container, pass the device in: --device ${TUN_DEVICE}`,
    };
  }
}

export function checkCapabilities({ read }: Pick<Reader, 'read'>): Check[] {
  const hex = /^CapEff:\s*([0-9a-f]+)$/m.exec(read('/proc/self/status') ?? '')?.[1];
  const effective = BigInt(`0x${hex ?? '0'}`);
  return CAPABILITIES.map(({ number, name, status, means }) =>
    (effective & (1n << BigInt(number))) !== 0n
      ? { name: 'capability', status: 'ok' as const, found: name }
      : {
          name: 'capability',
          status,
          found: `${name} is missing`,
          means,
          mend: `run as root, or give it to the service: AmbientCapabilities=${name}`,
        },
  );
}

const NAMESPACES_MEND =
  'install -D -m 644 /usr/share/doc/secgroupd/examples/namespaces.conf /etc/systemd/system/secgroupd.service.d/namespaces.conf; systemctl daemon-reload';

/** Checks the capabilities that the unit gives the service. @param namespaces as in MachineOptions */
export function checkService(
  { user, capabilities }: ServiceView,
  namespaces: number | undefined,
): Check[] {
  return CAPABILITIES.map(({ name, status, means }) => {
    if (capabilities === undefined || capabilities.has(name))
      return { name: 'capability', status: 'ok', found: `${name} (the service, as ${user})` };
    const isForNamespaces = name === 'CAP_SYS_ADMIN';
    if (isForNamespaces && namespaces === 0)
      return {
        name: 'capability',
        status: 'ok',
        found: `the service, as ${user}, has no ${name}, and needs none: no other namespace is named`,
      };
    return {
      name: 'capability',
      status: isForNamespaces && namespaces !== undefined ? 'fail' : status,
      found: `the service, as ${user}, has no ${name}`,
      means,
      mend: isForNamespaces
        ? NAMESPACES_MEND
        : `systemctl edit secgroupd: AmbientCapabilities=${name}, CapabilityBoundingSet=${name}`,
    };
  });
}

/** Checks offloads. @param isAsked whether the caller is another user than the service, with other rights */
function checkOffloads(native: Native, isAsked: boolean): Check {
  try {
    const name = `sgdr${process.pid}`;
    const { fd, offloads } = native.openDevice({ kind: 'tun', name, persist: false });
    native.closeFd(fd);
    const missing = Object.entries(offloads).flatMap(([offload, has]) => (has ? [] : [offload]));
    if (missing.length === 0)
      return { name: 'offloads', status: 'ok', found: 'checksum, TSO and USO' };
    return {
      name: 'offloads',
      status: 'warn',
      found: `missing: ${missing.join(', ')}`,
      means: 'packets come in smaller pieces: less throughput',
      mend: 'use a newer kernel',
    };
  } catch (error) {
    const { message, code } = error as NativeError;
    return {
      name: 'offloads',
      status: isAsked && code === 'EPERM' ? 'warn' : 'fail',
      found: message,
      means:
        isAsked && code === 'EPERM'
          ? 'the offloads could not be looked at by who asks'
          : 'no TUN can be opened here',
      mend:
        code === 'EPERM'
          ? 'run as root, or with CAP_NET_ADMIN'
          : 'see the checks of tun and kernel',
    };
  }
}

export function checkClock({ read }: Pick<Reader, 'read'>): Check {
  const folder = '/sys/devices/system/clocksource/clocksource0';
  const source = read(`${folder}/current_clocksource`);
  if (source === undefined || FAST_CLOCKS.has(source))
    return { name: 'clock', status: 'ok', found: `clock source ${source ?? 'not told'}` };
  const others = (read(`${folder}/available_clocksource`) ?? '')
    .split(' ')
    .filter((other) => FAST_CLOCKS.has(other));
  return {
    name: 'clock',
    status: 'warn',
    found: `clock source ${source}`,
    means: 'the clock is read once a batch of packets, and reading this one is slow',
    mend:
      others.length === 0
        ? 'ask whoever runs the hypervisor for a faster clock source'
        : `echo ${others[0]} > ${folder}/current_clocksource`,
  };
}

/** Checks the limit on descriptors. @param ofDevices one for each device and packet loop */
export function checkDescriptors(
  { read, service }: Pick<Reader, 'read' | 'service'>,
  ofDevices: number,
): Check {
  const own = /^Max open files\s+(\S+)/m.exec(read('/proc/self/limits') ?? '')?.[1];
  const text = service?.openFiles ?? own;
  const isUnlimited = text === undefined || text === 'unlimited' || text === 'infinity';
  const limit = isUnlimited ? Infinity : Number(text);
  const needed = ofDevices + FDS_BESIDES;
  const found = `${text ?? 'unknown'} open files, ${needed} needed`;
  if (limit >= needed) return { name: 'descriptors', status: 'ok', found };
  return {
    name: 'descriptors',
    status: 'fail',
    found,
    means: 'not all devices can be opened',
    mend: `raise the limit: LimitNOFILE=${needed} in the unit, or ulimit -n ${needed}`,
  };
}
