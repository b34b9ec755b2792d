/** Ends, packets, rules and verdicts in words, the same in every command. */
import { relative } from 'node:path';
import type { RuleView } from '../queries/rule-book.ts';
import type { NeighbourView, PacketView, VerdictView } from '../queries/verdict-view.ts';
import { paint } from './output.ts';
import { count } from '../source/count.ts';

const PROTOCOLS_WITH_PORTS: ReadonlySet<string> = new Set(['tcp', 'udp']);

/** ICMPv6 types that stay on a link (RFC 2710, 3810, 4861). */
const LINK_MESSAGES: Readonly<Record<number, string | undefined>> = {
  130: 'multicast listener query',
  131: 'multicast listener report',
  132: 'multicast listener done',
  133: 'router solicitation',
  134: 'router advertisement',
  135: 'neighbour solicitation',
  136: 'neighbour advertisement',
  137: 'redirect',
  143: 'multicast listener report v2',
};

/** `10.0.0.11:443`, `[fd00:10::11]:443`; the address alone where the protocol has no ports. */
export function endText(protocol: string, address: string, port: number): string {
  if (!PROTOCOLS_WITH_PORTS.has(protocol)) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** `tcp 198.51.100.7:40312 > 10.0.0.11:443 S`. */
export function packetText(direction: 'ingress' | 'egress', packet: PacketView): string {
  const { protocol, tcpFlags, icmp } = packet;
  const local = endText(protocol, packet.localAddress, packet.localPort);
  const remote = endText(protocol, packet.remoteAddress, packet.remotePort);
  const ends = direction === 'egress' ? `${local} > ${remote}` : `${remote} > ${local}`;
  const flags = tcpFlags === undefined ? '' : ` ${tcpFlags}`;
  const type = icmp === undefined ? '' : ` type ${icmp.type} code ${icmp.code}`;
  const name = protocol === 'icmpv6' && icmp !== undefined ? LINK_MESSAGES[icmp.type] : undefined;
  if (name !== undefined) return `${protocol} ${ends} ${name}`;
  return `${protocol} ${ends}${flags}${type}`;
}

/** The packet in words; of what is none, or can't be read, what can be said of it. */
export function verdictText({ direction, packet, neighbour, bytes }: VerdictView): string {
  if (neighbour !== undefined) return neighbourText(neighbour);
  return packet === undefined
    ? `${count(bytes ?? 0, 'byte')} that can't be read`
    : packetText(direction, packet);
}

/** `ARP request who-has 10.0.0.5 tell 10.0.0.1`, as tcpdump has it. */
function neighbourText({ protocol, operation, sender, target }: NeighbourView): string {
  if (protocol === 'nd')
    return operation === 'solicitation'
      ? `neighbour solicitation who-has ${target} tell ${sender}`
      : `neighbour ${operation} of ${target}, from ${sender}`;
  if (operation === 'request') return `ARP request who-has ${target} tell ${sender}`;
  return `ARP ${operation} from ${sender} to ${target}`;
}

/** `sg:web tcp 443 from 0.0.0.0/0`; says so if the rule is in force no more. */
export function ruleWords({ id, text, group, origin, audit }: RuleView): string {
  if (group !== undefined) return `sg:${group.name} ${text}${audit === true ? ' (audit)' : ''}`;
  if (audit === true && origin === undefined) return `${text} (audit of the interface)`;
  return origin === undefined ? `${id}: ${text}` : `${text} (${id}, no longer in force)`;
}

/** `demo.yaml:22`, as seen from here if that is shorter. */
export function placeText(origin: { readonly file: string; readonly line: number }): string {
  const fromHere = relative('.', origin.file);
  const file = fromHere.length < origin.file.length ? fromHere : origin.file;
  return origin.line === 0 ? `${file} (there by default)` : `${file}:${origin.line}`;
}

/** What decided, and more about it: the drop reason and its meaning, or the rule and how it admitted the packet. */
export function whyTexts(view: VerdictView): { readonly why: string; readonly detail: string } {
  const { verdict, reason, meaning, rule, isTracked, opensFlow } = view;
  if (verdict === 'dropped') return { why: reason ?? '', detail: meaning ?? '' };
  if (verdict === 'audited') {
    const by = rule === undefined ? '' : ruleWords(rule);
    return { why: reason ?? '', detail: `would drop; passes by ${by}` };
  }
  if (rule === undefined)
    return { why: 'no rule asked', detail: 'an ICMP error about a known flow, or a fragment' };
  const detail = opensFlow ? 'opens a flow' : isTracked ? 'of a flow' : 'untracked';
  return { why: ruleWords(rule), detail };
}

export const VERDICT_WORDS: Readonly<Record<VerdictView['verdict'], string>> = {
  passed: 'PASS',
  dropped: 'DROP',
  audited: 'WOULD',
};

const VERDICT_COLOURS = { passed: 'green', dropped: 'red', audited: 'yellow' } as const;

export function paintVerdictWord(verdict: VerdictView['verdict']): string {
  return paint(VERDICT_WORDS[verdict], VERDICT_COLOURS[verdict]);
}

/** As bytes go over a pipe or a file: two spaces, as `jq .` has it. */
export function printJson(value: unknown): void {
  console.log(JSON.stringify(value, undefined, 2));
}
