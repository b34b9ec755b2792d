/**
 * This file checks that the machine has what a configuration needs. The check runs before any device is touched, so
 * that everything that is missing is reported at once and nothing is left half made.
 */
import { closeSync, openSync, statfsSync } from 'node:fs';
import type { Position, Problem } from '../source/problem.ts';
import { keyPath } from '../source/yaml.ts';
import { isTunKind, portKind } from '../ports/port-kind.ts';
import type { Config, DeviceConfig } from './config.ts';

export interface SystemPaths {
  readonly tunDevice: string;
}

/** The systemd drop-in that permits namespaces to the service, and how to install it. */
export const NAMESPACES_CONF =
  'install -D -m 644 /usr/share/doc/secgroupd/examples/namespaces.conf /etc/systemd/system/secgroupd.service.d/namespaces.conf; systemctl daemon-reload; systemctl restart secgroupd';

export const TUN_DEVICE = '/dev/net/tun';
const SYSTEM_PATHS: SystemPaths = { tunDevice: TUN_DEVICE };

/** NSFS_MAGIC of linux/magic.h: the file system type of a bound network namespace. */
const NSFS_MAGIC = 0x6e736673;

/**
 * Adds a warning for every namespace that can't be entered (its interfaces wait for it), and an error if TUN devices
 * can't be opened.
 */
export function checkSystem(
  config: Config,
  problems: Problem[],
  paths: SystemPaths = SYSTEM_PATHS,
): void {
  const told = new Set<string>();
  for (const { device, path } of listDevices(config)) {
    // Several devices may share a namespace. A missing one is reported once.
    if (device.netnsPath === undefined || told.has(device.netnsPath)) continue;
    told.add(device.netnsPath);
    checkNamespace(device, device.netnsPath, keyPath(path, 'netns'), problems);
  }
  if (listDevices(config).some(({ device }) => isTunKind(portKind(device.kind))))
    checkTun(config, paths.tunDevice, problems);
}

function listDevices({ uplink, interfaces }: Config): { device: DeviceConfig; path: string }[] {
  const devices = interfaces.map(({ name, device }) => ({
    device,
    path: `${keyPath('interfaces', name)}.device`,
  }));
  return uplink === undefined ? devices : [{ device: uplink.device, path: 'uplink' }, ...devices];
}

function checkNamespace(
  device: DeviceConfig,
  netnsPath: string,
  path: string,
  problems: Problem[],
): void {
  const at = device.netnsAt ?? device.origin;
  const add = (message: string, hint: string): void => {
    problems.push({
      severity: 'warning',
      code: 'netns',
      at,
      path,
      message: `${message}; the interfaces in it wait`,
      hint,
    });
  };
  const pid = /^\/proc\/(\d+)\/ns\/net$/.exec(netnsPath)?.[1];
  const name =
    device.netns !== undefined && device.netns !== netnsPath && pid === undefined
      ? device.netns
      : undefined;
  try {
    closeSync(openSync(netnsPath, 'r'));
    if (statfsSync(netnsPath).type === NSFS_MAGIC) return;
    // `ip netns add` leaves an empty file behind when its namespace is gone, for example after a container was
    // restarted.
    const again =
      name === undefined
        ? 'name the file of a network namespace'
        : `remake it with: ip netns delete ${name}; ip netns add ${name}`;
    add(`${netnsPath} is not a network namespace`, again);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    if (code === 'ENOENT' && pid !== undefined)
      return add(
        `there is no process ${pid}`,
        'name a process that runs, or its namespace by path',
      );
    if (code === 'ENOENT') {
      const hint =
        name === undefined
          ? 'create it, or correct the path'
          : `create it with: ip netns add ${name}`;
      return add(`the network namespace ${netnsPath} does not exist`, hint);
    }
    add(`the network namespace ${netnsPath} can't be opened: ${code}`, namespaceHint(code));
  }
}

/** What to do if opening a namespace fails with `code`. Which of the two codes the kernel uses depends on the owner. */
export function namespaceHint(code: string): string {
  return code === 'EACCES' || code === 'EPERM'
    ? `run as root, or with CAP_SYS_ADMIN and CAP_SYS_PTRACE in the owner of the namespace; the service: ${NAMESPACES_CONF}`
    : 'check the path';
}

function checkTun(config: Config, tunDevice: string, problems: Problem[]): void {
  try {
    closeSync(openSync(tunDevice, 'r+'));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    const at: Position = { file: config.file, line: 0, column: 0 };
    problems.push({
      severity: 'error',
      code: 'tun',
      at,
      path: '',
      message: `${tunDevice} can't be opened: ${code}`,
      hint: tunHint(code, tunDevice),
    });
  }
}

function tunHint(code: string, tunDevice: string): string {
  switch (code) {
    case 'ENOENT':
      return `load the module with: modprobe tun; in a container, pass the device in: --device ${tunDevice}`;
    case 'ENODEV':
    case 'ENXIO':
      return 'load the module with: modprobe tun';
    case 'EACCES':
    case 'EPERM':
      return `run as root, or let this user read and write ${tunDevice}; in a container, pass the device in: --device ${tunDevice}`;
    default:
      return 'is the TUN driver in this kernel?';
  }
}
