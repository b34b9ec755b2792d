/**
 * HostNat translates addresses on the host: from a published port to the container, and from containers to the host's
 * address where they reach further.
 *
 * Theory of operation. Docker does neither for a driver that is a plugin. A program that takes connections on the host
 * and makes new ones to the container would hide the client's address from the rules. So the kernel translates, in a
 * table of our own: the packet comes in by the uplink with the client's address, and the container's groups judge it.
 * The table is made anew in one transaction at each change, from what there is, so it can't drift from it. Connections
 * keep their translation meanwhile, since the kernel has it with each connection. Changes that come while nft runs are
 * put in force together by the next run.
 *
 * A published port is not reached by 127.0.0.1: a packet from there may not leave the host.
 */
import { execFile } from 'node:child_process';
import { isIpv6 } from '../names.ts';
import type { DockerState, PublishedPort } from './state.ts';

const TABLE = 'inet secgroupd_docker';
const TIMEOUT_MS = 10_000;
const OUTPUT_BYTES_MAX = 64 << 10;

type Contents = Pick<DockerState, 'networks' | 'endpoints'>;

/** The transaction that makes the table what it is to be. */
export function natRules({ networks, endpoints }: Contents): string {
  const masqueraded = [...networks.values()].flatMap(({ masquerade, subnets }) =>
    masquerade ? subnets : [],
  );
  const ports = [...endpoints.values()].flatMap((endpoint) => endpoint.ports);
  if (masqueraded.length + ports.length === 0) return `add table ${TABLE}\ndelete table ${TABLE}\n`;
  const rules = [
    'prerouting fib daddr type local jump published',
    'output ip daddr 127.0.0.0/8 return',
    'output ip6 daddr ::1 return',
    'output fib daddr type local jump published',
    ...ports.map(publishedRule),
    ...masqueraded.map(
      ({ cidr }) => `postrouting ${isIpv6(cidr) ? 'ip6' : 'ip'} saddr ${cidr} masquerade`,
    ),
  ];
  return [
    `add table ${TABLE}`,
    `add chain ${TABLE} prerouting { type nat hook prerouting priority -100; policy accept; }`,
    `add chain ${TABLE} output { type nat hook output priority -100; policy accept; }`,
    `add chain ${TABLE} postrouting { type nat hook postrouting priority 100; policy accept; }`,
    `add chain ${TABLE} published`,
    `flush table ${TABLE}`,
    ...rules.map((rule) => `add rule ${TABLE} ${rule}`),
    '',
  ].join('\n');
}

function publishedRule({ protocol, hostAddress, hostPort, address, port }: PublishedPort): string {
  const family = isIpv6(address) ? 'ip6' : 'ip';
  const at =
    hostAddress === ''
      ? `meta nfproto ${family === 'ip' ? 'ipv4' : 'ipv6'}`
      : `${family} daddr ${hostAddress}`;
  const target = family === 'ip' ? `${address}:${port}` : `[${address}]:${port}`;
  return `published ${at} ${protocol} dport ${hostPort} dnat ${family} to ${target}`;
}

export class HostNat {
  private readonly contents: Contents;
  private readonly run: (rules: string) => Promise<void>;
  /** The run that has not begun yet. */
  private next: Promise<void> | undefined;
  private last: Promise<void> = Promise.resolve();

  constructor(contents: Contents, run: (rules: string) => Promise<void> = runNft) {
    this.contents = contents;
    this.run = run;
  }

  /** Puts in force what there is now. @throws Error what nft says */
  apply(): Promise<void> {
    this.next ??= this.last.then(() => {
      this.next = undefined;
      const run = this.run(natRules(this.contents));
      this.last = run.catch(() => undefined);
      return run;
    });
    return this.next;
  }
}

function runNft(rules: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const options = { timeout: TIMEOUT_MS, maxBuffer: OUTPUT_BYTES_MAX };
    const child = execFile('nft', ['-f', '-'], options, (error, _, stderr) => {
      if (error === null) resolve();
      else if (error.code === 'ENOENT')
        reject(new Error('nft is not there: install the package nftables'));
      else reject(new Error(`nft refuses the translation: ${stderr.trim() || error.message}`));
    });
    // If it ends without reading, its exit code says why.
    child.stdin!.on('error', () => undefined);
    child.stdin!.end(rules);
  });
}
