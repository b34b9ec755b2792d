/**
 * These checks of `secgroupd doctor` need a configuration: whether it is right, and whether this machine has what it
 * names.
 */
import { accessSync, constants, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { accountBytes } from '../conntrack/accounts.ts';
import { flowIndexBytes, flowTableBytes } from '../conntrack/table.ts';
import { flowLayout } from '../dataplane/messages.ts';
import type { DeviceSpec } from '../ports/device.ts';
import type { Native } from '../ports/native.ts';
import { NO_KIND, type PortKindName } from '../ports/port-kind.ts';
import { formatProblem, hasErrors, type Problem } from '../source/problem.ts';
import { checkSystem } from '../config/check-system.ts';
import type { Config } from '../config/config.ts';
import { deviceLabel, interfaceDevice, uplinkDevice } from '../config/device-specs.ts';
import { checkBySocket, splitSpecs } from './doctor-sockets.ts';
import { bytesText, type Check, type Reader } from './doctor-check.ts';
import { checkFiles } from './doctor-files.ts';
import { checkOffload } from './doctor-offload.ts';
import { checkCores, checkSteering } from './doctor-workers.ts';
import { loadConfig } from '../config/load-config.ts';
import { count } from '../source/count.ts';

/** Memory of the process besides its flow tables: as measured with the demo, plus queues, rules and logs. */
const PROCESS_BYTES = 256 * 2 ** 20;
/** Memory of each packet loop after the first, besides flows: as measured, plus its rings. */
const LOOP_BYTES = 24 * 2 ** 20;
/** Bytes of a flow's place in the queue of half-open flows (conntrack/half-open.ts). */
const PLACE_BYTES = 8;

export interface ConfigurationOptions {
  readonly file: string | undefined;
  readonly netnsDir: string;
  /** As loadConfig takes it. */
  readonly deviceKind?: PortKindName;
  readonly stateDir?: string;
  readonly native: Native | undefined;
  readonly reader: Reader;
}

export interface ConfigurationChecks {
  readonly checks: readonly Check[];
  /** How many descriptors the devices of the configuration take. */
  readonly descriptors: number;
  /** How many other network namespaces it names. Undefined if there is no configuration. */
  readonly namespaces: number | undefined;
}

export function checkConfiguration(options: ConfigurationOptions): ConfigurationChecks {
  const { file, netnsDir, deviceKind = NO_KIND, stateDir, native, reader } = options;
  const state = stateDir === undefined ? [] : [checkStateDirectory(stateDir)];
  if (file === undefined) return { checks: state, descriptors: 0, namespaces: undefined };
  const { config, problems, files } = loadConfig(file, { netnsDirectory: netnsDir, deviceKind });
  const readable = reader.service === undefined ? [] : checkFiles(reader.service, files, reader);
  if (config === undefined || hasErrors(problems))
    return {
      checks: [invalid(file, problems), ...readable, ...state],
      descriptors: 0,
      namespaces: undefined,
    };
  const uplink = uplinkDevice(config);
  const specs = config.interfaces.map((entry) => interfaceDevice(config, entry));
  if (uplink !== undefined) specs.push(uplink);
  const { own, bySocket } = splitSpecs(specs);
  const checks = [
    { name: 'configuration', status: 'ok' as const, found: `${file} is right` },
    ...readable,
    ...checkNamespaces(config),
    ...(native === undefined
      ? []
      : [...checkNames(native, own), ...checkBySocket(native, bySocket, reader)]),
    checkMemory(config, reader),
    ...checkWorkers(config, native),
    ...checkOffload(config, native),
    ...checkForwarding(config, reader),
    ...state,
  ];
  const namespaces = namespacesOf(config).size;
  return { checks, descriptors: config.workers * specs.length, namespaces };
}

function invalid(file: string, problems: readonly Problem[]): Check {
  const errors = problems.filter(({ severity }) => severity === 'error');
  return {
    name: 'configuration',
    status: 'fail',
    found: errors.map((problem) => formatProblem(problem)).join('\n'),
    means: 'the daemon does not start with it; one that runs refuses to reload it',
    mend: `correct it, and look again with: sgctl check ${file}`,
  };
}

function namespacesOf(config: Config): ReadonlySet<string> {
  const devices = [...config.interfaces.map(({ device }) => device), config.uplink?.device];
  return new Set(devices.flatMap((device) => device?.netnsPath ?? []));
}

function checkNamespaces(config: Config): Check[] {
  const problems: Problem[] = [];
  checkSystem(config, problems);
  const missing = problems.filter(({ code }) => code === 'netns');
  const names = namespacesOf(config);
  if (names.size === 0) return [];
  if (missing.length === 0)
    return [{ name: 'namespaces', status: 'ok', found: `all ${names.size} can be opened` }];
  return missing.map(({ message, hint }) => ({
    name: 'namespaces',
    status: 'warn',
    found: message,
    means: 'the others run; these are cut off until it can be opened',
    ...(hint === undefined ? {} : { mend: hint }),
  }));
}

/** Finds device names that are taken. A running daemon holds them itself. */
function checkNames(native: Native, specs: readonly DeviceSpec[]): Check[] {
  const taken = specs.filter(({ netnsPath, name }) => {
    try {
      return native.linkIndex(netnsPath, name) !== 0;
    } catch {
      return false; // The namespace can't be entered: the check of namespaces or capabilities says so.
    }
  });
  if (taken.length === 0)
    return [
      {
        name: 'devices',
        status: 'ok',
        found: `${count(specs.length, 'name')} ${specs.length === 1 ? 'is' : 'are'} free`,
      },
    ];
  return [
    {
      name: 'devices',
      status: 'warn',
      found: `there already: ${taken.map(deviceLabel).join(', ')}`,
      means:
        'a daemon that runs has them, or they are persistent; one whose name is held by an interface of another kind waits',
      mend: 'see who has it with: ip -details link show; remove a stranger with: ip link delete NAME',
    },
  ];
}

function checkWorkers({ workers }: Config, native: Native | undefined): Check[] {
  if (workers === 1) return [];
  const cores = checkCores(workers, availableParallelism());
  return native === undefined ? [cores] : [cores, checkSteering(native)];
}

/**
 * Estimates the memory that is needed. Flows are counted once, whichever loop has them. An index counts as a whole,
 * because hashes spread over all of it. Not counted: a loop that once had many flows keeps their memory.
 */
function checkMemory({ conntrack, workers }: Config, { read }: Reader): Check {
  const { maxFlows, accounting } = conntrack;
  const tables = ([4, 6] as const).map((family) => flowTableBytes(flowLayout(family, maxFlows)));
  const accounts = accounting ? 2 * accountBytes(maxFlows) : 0;
  const more = (workers - 1) * (2 * flowIndexBytes(maxFlows) + LOOP_BYTES);
  const needed = tables[0] + tables[1] + accounts + PLACE_BYTES * maxFlows + PROCESS_BYTES + more;
  const kilobytes = Number(/^MemAvailable:\s+(\d+) kB/m.exec(read('/proc/meminfo') ?? '')?.[1]);
  const available = 1024 * kilobytes;
  const most = workers === 1 ? 'at most' : 'about';
  const found = `${bytesText(available)} available, ${most} ${bytesText(needed)} for ${count(maxFlows, 'flow', maxFlows.toLocaleString('en-US'))}`;
  if (!(available < needed)) return { name: 'memory', status: 'ok', found };
  return {
    name: 'memory',
    status: 'warn',
    found,
    means: 'memory is taken as flows come: a full table could end the daemon',
    mend: 'lower conntrack.maxFlows, or give the machine more memory',
  };
}

/** Checks forwarding in the host's own namespace, if the uplink is there. Another namespace is up to its owner. */
function checkForwarding({ uplink }: Config, { read }: Reader): Check[] {
  if (uplink === undefined || uplink.device.netnsPath !== undefined) return [];
  const { name } = uplink.device;
  const forwards = read('/proc/sys/net/ipv4/ip_forward') === '1';
  const checks: Check[] = [
    forwards
      ? { name: 'forwarding', status: 'ok', found: 'the host forwards IPv4' }
      : {
          name: 'forwarding',
          status: 'warn',
          found: 'the host does not forward IPv4',
          means: 'instances reach the host, and nothing behind it',
          mend: 'sysctl -w net.ipv4.ip_forward=1, and for IPv6 net.ipv6.conf.all.forwarding=1',
        },
  ];
  const strict = ['all', name].find(
    (entry) => read(`/proc/sys/net/ipv4/conf/${entry}/rp_filter`) === '1',
  );
  if (strict !== undefined)
    checks.push({
      name: 'rp_filter',
      status: 'warn',
      found: `net.ipv4.conf.${strict}.rp_filter is strict`,
      means: 'the host drops packets of instances whose route back does not lead over the uplink',
      mend: `if routes are not symmetric: sysctl -w net.ipv4.conf.${strict}.rp_filter=2`,
    });
  return checks;
}

export function checkStateDirectory(directory: string): Check {
  try {
    const stat = statSync(directory);
    if (!stat.isDirectory()) throw Object.assign(new Error(), { code: 'ENOTDIR' });
    accessSync(directory, constants.W_OK | constants.X_OK);
    const isOpen = (stat.mode & 0o022) !== 0;
    if (!isOpen) return { name: 'state', status: 'ok', found: `${directory} can be written` };
    return {
      name: 'state',
      status: 'warn',
      found: `others may write to ${directory}`,
      means: 'whoever can put a snapshot there decides which connections are let through',
      mend: `chmod go-w ${directory}`,
    };
  } catch (error) {
    return {
      name: 'state',
      status: 'warn',
      found: `${directory} can't be written: ${(error as NodeJS.ErrnoException).code}`,
      means: 'connections are not kept over a restart',
      mend: `make it for the daemon's user: install -d -m 0700 ${directory}`,
    };
  }
}
