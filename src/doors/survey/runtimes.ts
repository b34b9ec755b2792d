/** Lists which runtimes of containers and machines are installed, and which of our plugins each has. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { readBytes } from '../../source/read-text.ts';
import { isObject } from '../json-input.ts';
import type { Unread } from './facts.ts';
import { codeOf } from './processes.ts';

export interface RuntimeView {
  readonly name: string;
  /** The path of its program. */
  readonly program: string;
  /** Of those that take one. */
  readonly plugins?: readonly {
    readonly kind: 'docker' | 'docker-managed' | 'cni' | 'netavark';
    readonly path: string;
  }[];
  /** Configurations of CNI networks that name the plugin. */
  readonly networks: readonly string[];
  /** What to do to bring its containers or machines under groups, and the page about it. */
  readonly advice: string;
}

export interface Runtimes {
  readonly runtimes: readonly RuntimeView[];
  readonly unread: readonly Unread[];
}

type Plugin = NonNullable<RuntimeView['plugins']>[number];
type PluginKind = Plugin['kind'];

interface Runtime {
  readonly name: string;
  /** Any of these. */
  readonly programs: readonly string[];
  /** Absent: it takes none. */
  readonly plugins?: readonly PluginKind[];
  readonly advice: string;
}

const CNI = 'name the plugin in a network: docs/howto/cni.md';
const QEMU = 'attach its TAP, or a stream: docs/howto/qemu.md';

const RUNTIMES: readonly Runtime[] = [
  {
    name: 'docker',
    programs: ['docker', 'dockerd'],
    plugins: ['docker', 'docker-managed'],
    advice: 'docker network create -d secgroupd …: docs/howto/docker.md',
  },
  {
    name: 'podman',
    programs: ['podman'],
    plugins: ['netavark', 'cni'],
    advice: 'podman network create -d secgroupd …, or CNI: docs/howto/podman.md',
  },
  { name: 'nerdctl', programs: ['nerdctl'], plugins: ['cni'], advice: CNI },
  { name: 'containerd', programs: ['containerd'], plugins: ['cni'], advice: CNI },
  { name: 'cri-o', programs: ['crio'], plugins: ['cni'], advice: CNI },
  { name: 'kubernetes', programs: ['kubelet', 'k3s'], plugins: ['cni'], advice: CNI },
  { name: 'nomad', programs: ['nomad'], plugins: ['cni'], advice: CNI },
  {
    name: 'libvirt',
    programs: ['virsh', 'libvirtd', 'virtqemud'],
    advice: 'attach its TAP, or a stream: docs/howto/libvirt.md',
  },
  {
    name: 'qemu',
    programs: [
      ...['qemu-system-x86_64', 'qemu-system-aarch64', 'qemu-system-riscv64', 'qemu-system-ppc64'],
      ...['qemu-system-s390x', 'qemu-system-i386', 'qemu-system-arm', 'qemu-kvm', 'kvm'],
    ],
    advice: QEMU,
  },
  ...['firecracker', 'cloud-hypervisor'].map((name) => ({
    name,
    programs: [name],
    advice: 'attach its TAP: docs/howto/vm-host.md',
  })),
  ...(
    [
      ['lxc', ['lxc-start']],
      ['lxd', ['lxd']],
      ['incus', ['incus', 'incusd']],
      ['nspawn', ['systemd-nspawn']],
    ] as const
  ).map(([name, programs]) => ({
    name,
    programs,
    advice: 'attach the end of its pair on the host: docs/howto/vm-host.md',
  })),
];

const NETAVARK = [
  ...['/usr/local/libexec/netavark', '/usr/libexec/netavark'],
  ...['/usr/local/lib/netavark', '/usr/lib/netavark'],
];
const CNI_BINARIES = ['/opt/cni/bin', '/usr/lib/cni', '/usr/libexec/cni'];
const CNI_NETWORKS = ['/etc/cni/net.d', '/opt/cni/config'];
const DOCKER_PLUGINS = '/run/docker/plugins';
const DOCKER_SOCKET = 'secgroupd.sock';
const PLUGIN = 'secgroupd';
const NETWORK_BYTES_MAX = 1024 * 1024;

/**
 * @param find the path of a program; undefined: it is not installed
 * @param root in front of all other paths, for tests
 */
export function listRuntimes(find: (program: string) => string | undefined, root = ''): Runtimes {
  const unread: Unread[] = [];
  const plugins = findPlugins(root, unread);
  const networks = findNetworks(root, unread);
  const runtimes = RUNTIMES.flatMap((runtime): RuntimeView[] => {
    const program = runtime.programs.map(find).find((path) => path !== undefined);
    if (program === undefined) return [];
    const { name, plugins: kinds, advice } = runtime;
    const own = plugins.filter(({ kind }) => kinds?.includes(kind));
    return [
      {
        name,
        program,
        ...(kinds === undefined ? {} : { plugins: own }),
        networks: kinds?.includes('cni') === true ? networks : [],
        advice,
      },
    ];
  });
  return { runtimes, unread };
}

function findPlugins(root: string, unread: Unread[]): readonly Plugin[] {
  const sockets = join(root, DOCKER_PLUGINS);
  const managed = namesIn(sockets, unread).filter((name) => name !== DOCKER_SOCKET);
  const places: readonly (readonly [PluginKind, string])[] = [
    ['docker', join(sockets, DOCKER_SOCKET)],
    ...managed.map((id) => ['docker-managed', join(sockets, id, DOCKER_SOCKET)] as const),
    ...CNI_BINARIES.map((folder) => ['cni', join(root, folder, PLUGIN)] as const),
    ...NETAVARK.map((folder) => ['netavark', join(root, folder, PLUGIN)] as const),
  ];
  return places.flatMap(([kind, path]) => (isThere(path, unread) ? [{ kind, path }] : []));
}

/** Files that name the plugin: a `.conflist` in its list, a `.conf` as its type. */
function findNetworks(root: string, unread: Unread[]): string[] {
  return CNI_NETWORKS.flatMap((folder) => {
    const directory = join(root, folder);
    const names = namesIn(directory, unread).filter((name) =>
      /\.(?:conflist|conf|json)$/.test(name),
    );
    return names.map((name) => join(directory, name)).filter((path) => namesPlugin(path, unread));
  });
}

function namesPlugin(path: string, unread: Unread[]): boolean {
  const found = readBytes(path, NETWORK_BYTES_MAX);
  if (found.kind !== 'read') {
    unread.push({ what: path, reason: 'it can not be read, or is too large' });
    return false;
  }
  try {
    const network: unknown = JSON.parse(found.bytes.toString('utf8'));
    if (!isObject(network)) return false;
    const { plugins } = network;
    const all: readonly unknown[] = Array.isArray(plugins) ? plugins : [network];
    return all.some((one) => isObject(one) && one['type'] === PLUGIN);
  } catch {
    return false; // No runtime takes it either.
  }
}

function isThere(path: string, unread: Unread[]): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    note(path, error, unread);
    return false;
  }
}

function namesIn(directory: string, unread: Unread[]): readonly string[] {
  try {
    return readdirSync(directory).sort();
  } catch (error) {
    note(directory, error, unread);
    return [];
  }
}

function note(path: string, error: unknown, unread: Unread[]): void {
  const code = codeOf(error);
  if (code !== 'ENOENT' && code !== 'ENOTDIR') unread.push({ what: path, reason: code });
}
