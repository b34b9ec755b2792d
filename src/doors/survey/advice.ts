/** Says how an interface comes under security groups. */
import type { Finding } from './finding.ts';

/** The page of each runtime. */
const PAGES: ReadonlyMap<string, string> = new Map([
  ['docker', 'docs/howto/docker.md'],
  ['podman', 'docs/howto/podman.md'],
  ['kubernetes', 'docs/howto/cni.md'],
  ['containerd', 'docs/howto/cni.md'],
  ['libvirt', 'docs/howto/libvirt.md'],
]);
const PAGE_OF_INTERFACES = 'docs/howto/vm-host.md';
const PAGE_OF_MACHINES = 'docs/howto/qemu.md';

type Asked = Pick<Finding, 'kind' | 'owner' | 'hostEnd'> & Partial<Pick<Finding, 'verdict'>>;

export function adviceFor({ kind, owner, hostEnd, verdict }: Asked): string {
  if (kind === 'qemu-vfio') return `see whether it is a card: lspci; ${PAGE_OF_MACHINES}`;
  if (verdict === 'unknown') return 'have that daemon asked too: --socket PATH';
  const page = PAGES.get(owner.kind);
  if (kind === 'host-network') return `give it a network of its own: ${page ?? PAGE_OF_INTERFACES}`;
  if (kind.startsWith('qemu-')) return `give it a TAP or a stream: ${PAGE_OF_MACHINES}`;
  if (hostEnd !== undefined) {
    const attach = 'attach its end on the host (sgctl interface add --kind attach --device …)';
    if (owner.kind === 'docker') return `use the driver secgroupd, or ${attach}: ${page}`;
    return `${attach}: ${page ?? (kind === 'tap' ? PAGE_OF_MACHINES : PAGE_OF_INTERFACES)}`;
  }
  return `give it an interface of the daemon instead: ${page ?? PAGE_OF_INTERFACES}`;
}
