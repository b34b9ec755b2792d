/** Says whether Podman can run a container here: that takes more than its being installed. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { GUARD_MS } from './guard-time.ts';
import { findTool } from './require.ts';

const TOOLS = ['podman', 'runc', 'busybox', 'unshare', 'mount'];
const HOST_LOCAL = '/usr/lib/cni/host-local';
export const PRIVATE = ['--mount', '--net', '--pid', '--fork', '--kill-child', '--mount-proc'];
const TRY = `
mount -t tmpfs none /run || exit
mkdir -p /run/root/bin /run/root/dev /run/root/proc /run/root/sys /run/root/etc
cp "$(command -v busybox)" /run/root/bin/busybox
exec podman --root /run/graph --runroot /run/run --tmpdir /run/tmp --storage-driver vfs \\
  --cgroup-manager cgroupfs --events-backend file --runtime runc \\
  run --rm --network none --rootfs /run/root /bin/busybox true`;

let why: { readonly reason: string | undefined } | undefined;

/** Why no container with a network of CNI can be run; undefined: one can. */
export function whyNoPodman(): string | undefined {
  why ??= { reason: look() };
  return why.reason;
}

function look(): string | undefined {
  const missing = TOOLS.filter((tool) => findTool(tool) === undefined);
  if (missing.length > 0) return `needs ${missing.join(', ')} (not found on the PATH)`;
  if (!existsSync(HOST_LOCAL)) return `needs ${HOST_LOCAL} (containernetworking-plugins)`;
  const options = { encoding: 'utf8', timeout: GUARD_MS } as const;
  const { status, stderr, error } = spawnSync('unshare', [...PRIVATE, 'sh', '-c', TRY], options);
  return status === 0
    ? undefined
    : `Podman runs no container here: ${error?.message ?? stderr.trim()}`;
}
