/** Ends, packets, rules and verdicts in words, the same in every command. */
import { relative } from 'node:path';
import type { RuleView } from '../control/views/rule-book.ts';
import type { PacketView, VerdictView } from '../control/views/verdict-view.ts';
import { paint } from './output.ts';

const PROTOCOLS_WITH_PORTS: ReadonlySet<string> = new Set(['tcp', 'udp']);

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
  return `${protocol} ${ends}${flags}${type}`;
}

/** `sg:web tcp 443 from 0.0.0.0/0`; says so if the rule is in force no more. */
export function ruleWords({ id, text, group, origin }: RuleView): string {
  if (group !== undefined) return `sg:${group.name} ${text}`;
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
  if (rule === undefined)
    return { why: 'no rule asked', detail: 'an ICMP error about a known flow, or a fragment' };
  const detail = opensFlow ? 'opens a flow' : isTracked ? 'of a flow' : 'untracked';
  return { why: ruleWords(rule), detail };
}

export const VERDICT_WORDS: Readonly<Record<VerdictView['verdict'], string>> = {
  passed: 'PASS',
  dropped: 'DROP',
};

export function paintVerdictWord(verdict: VerdictView['verdict']): string {
  return paint(VERDICT_WORDS[verdict], verdict === 'passed' ? 'green' : 'red');
}

/** As bytes go over a pipe or a file: two spaces, as `jq .` has it. */
export function printJson(value: unknown): void {
  console.log(JSON.stringify(value, undefined, 2));
}
