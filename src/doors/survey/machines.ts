/**
 * Reads from QEMU's command line which network interfaces a machine has that are no TAPs: those are the process's own
 * sockets, and no list of interfaces shows them.
 */
import { statSync } from 'node:fs';
import { basename } from 'node:path';
import type { Machine } from './facts.ts';
import { commandOf, type SeenProcess } from './processes.ts';

const PROGRAM = /^(?:qemu-system-.+|qemu-kvm|kvm)$/;
/** Types whose packets come by a TAP, which is looked at itself, or that are no way out. */
const SEEN_OTHERWISE: ReadonlySet<string> = new Set(['tap', 'bridge', 'none', 'nic', 'hubport']);

type Netdev = Machine['netdevs'][number];

export function findMachines(processes: readonly SeenProcess[], proc = '/proc'): Machine[] {
  return processes.flatMap(({ pid, owner, netns }) => {
    const command = commandOf(pid, proc);
    if (!PROGRAM.test(basename(command[0] ?? ''))) return [];
    const netdevs = netdevsOf(command.slice(1));
    const isSameMount = isSame(`${proc}/${pid}/ns/mnt`, `${proc}/self/ns/mnt`);
    return [{ owner, netns, isSameMount, netdevs }];
  });
}

/** @param words of the command line, without the program */
export function netdevsOf(words: readonly string[]): readonly Netdev[] {
  const found: Netdev[] = [];
  let isNamed = false;
  let isBare = false;
  for (const [i, word] of words.entries()) {
    const option = /^--?(netdev|nic|net|nodefaults|device)$/.exec(word)?.[1];
    const value = words[i + 1] ?? '';
    if (option === 'nodefaults') isBare = true;
    if (option === 'device' && /^vfio-/.test(firstOf(value))) found.push({ type: 'vfio' });
    if (option !== 'netdev' && option !== 'nic' && option !== 'net') continue;
    isNamed = true;
    const netdev = readNetdev(value);
    if (!SEEN_OTHERWISE.has(netdev.type)) found.push(netdev);
  }
  // Without a word about it, QEMU gives a machine a card with user networking.
  if (!isNamed && !isBare) found.push({ type: 'user' });
  return found;
}

/** The type: in JSON, as `user,id=…`, or as `model=…,type=user`. */
function readNetdev(value: string): Netdev {
  const pairs = value.startsWith('{') ? pairsOfJson(value) : pairsOf(value);
  const type = pairs.get('type') ?? 'unreadable';
  const path = pairs.get('addr.path');
  return { type, ...(path === undefined ? {} : { path }) };
}

function pairsOf(value: string): ReadonlyMap<string, string> {
  // A comma within a value is doubled.
  const parts = value.replaceAll(',,', '\0').split(',');
  return new Map(
    parts.map((part, i) => {
      const at = part.indexOf('=');
      const text = part.slice(at + 1).replaceAll('\0', ',');
      return at < 0 && i === 0 ? ['type', text] : [part.slice(0, Math.max(0, at)), text];
    }),
  );
}

function pairsOfJson(value: string): ReadonlyMap<string, string> {
  const pairs = new Map<string, string>();
  try {
    const { type, addr } = JSON.parse(value) as { type?: unknown; addr?: { path?: unknown } };
    if (typeof type === 'string') pairs.set('type', type);
    if (typeof addr?.path === 'string') pairs.set('addr.path', addr.path);
  } catch {
    // It is none that QEMU would take; its type stays unreadable.
  }
  return pairs;
}

function firstOf(value: string): string {
  return (value.startsWith('{') ? /"driver"\s*:\s*"([^"]*)"/.exec(value)?.[1] : value) ?? '';
}

function isSame(path: string, other: string): boolean {
  try {
    return statSync(path).ino === statSync(other).ino;
  } catch {
    return false;
  }
}
