/** Tells from a process's control group which container or machine it is of. */
import type { Owner } from './facts.ts';

/** A container's id is shown as its runtime's own lists show it. */
const ID_SHOWN = 12;

const ID = '([0-9a-f]{64})';
/** The first that matches. What each runtime calls its groups, with systemd and without. */
const GROUPS: readonly (readonly [kind: string, pattern: RegExp])[] = [
  ['kubernetes', new RegExp(`/kubepods.*[/-]${ID}`)],
  ['podman', new RegExp(`/libpod-${ID}`)],
  ['docker', new RegExp(`/docker[-/]${ID}`)],
  ['nerdctl', new RegExp(`/nerdctl-${ID}`)],
  ['libvirt', /\/machine-qemu\\x2d\d+\\x2d([^/]+)\.scope/],
  ['libvirt', /\/machine\/qemu-\d+-([^/]+)\.libvirt-qemu/],
  ['lxc', /\/lxc\.payload\.([^/]+)/],
  ['lxc', /\/lxc\/([^/]+)/],
  ['nspawn', /\/systemd-nspawn@([^/]+)\.service/],
  ['nspawn', /\/machine-([^/]+)\.scope/],
  ['container', new RegExp(`[/-]${ID}(?:[./]|$)`)],
];

/** @param text of /proc/PID/cgroup. @returns undefined if it is of no container that is known */
export function containerOf(text: string): Owner | undefined {
  const paths = text.split('\n').map((line) => line.slice(line.indexOf(':', 2) + 1));
  for (const [kind, pattern] of GROUPS)
    for (const path of paths) {
      const name = pattern.exec(path)?.[1];
      if (name === undefined) continue;
      return { kind, name: /^[0-9a-f]{64}$/.test(name) ? name.slice(0, ID_SHOWN) : unescape(name) };
    }
  return undefined;
}

/** As systemd-escape(1) writes names. */
function unescape(name: string): string {
  return name.replace(/\\x([0-9a-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}
