/**
 * The twin's rules: every rule of every group on the interface, read one after the other.
 * Source: the model's own description of rules and peers (src/policy/model.ts), docs/conntrack.md "Untracked
 * flows". Neither the compiled policy nor the plain matcher of src/policy/ is used.
 */
import type { Address } from '../../src/addr/address.ts';
import type { Peer, PolicyModel, Rule } from '../../src/policy/model.ts';

/** Addresses as strings of a character a byte. */
interface PlainRule {
  readonly rule: Rule;
  /** Families and prefixes the peer stands for. */
  readonly peers: readonly { readonly prefix: string; readonly bits: number }[];
}

/** What rules are asked about: a packet, or a flow as if it were opened again. */
export interface Question {
  readonly family: 4 | 6;
  readonly protocol: number;
  /** Destination port of TCP and UDP. */
  readonly dstPort: number;
  readonly icmp: { readonly type: number; readonly code: number } | undefined;
}

export interface PlainInterface {
  readonly port: number;
  readonly name: string;
  readonly addresses: readonly string[];
  readonly isChecked: boolean;
  readonly isAlwaysTracked: boolean;
  readonly isPlatform: boolean;
  readonly ingress: readonly PlainRule[];
  readonly egress: readonly PlainRule[];
  /** Rules that only audit, of both directions, and whether audit passes everything. */
  readonly audits: readonly PlainRule[];
  readonly isAudited: boolean;
}

export function readInterfaces(model: PolicyModel): PlainInterface[] {
  return [...model.interfaces.values()].map((one, i) => {
    const rulesOf = (direction: 'ingress' | 'egress'): PlainRule[] =>
      one.groupIds
        .flatMap((id) => model.groups.get(id)![direction])
        .map((rule) => ({ rule, peers: peersOf(rule.peer, model) }));
    const audits = one.groupIds
      .flatMap((id) => model.groups.get(id)!.audited ?? [])
      .map((rule) => ({ rule, peers: peersOf(rule.peer, model) }));
    return {
      port: i + 1,
      name: one.name,
      addresses: one.addresses.map(plainAddress),
      isChecked: one.sourceDestCheck,
      isAlwaysTracked: one.alwaysTracked ?? false,
      isPlatform: one.isPlatform ?? false,
      ingress: rulesOf('ingress'),
      egress: rulesOf('egress'),
      audits,
      isAudited: one.audit ?? false,
    };
  });
}

function peersOf(peer: Peer, model: PolicyModel): { prefix: string; bits: number }[] {
  switch (peer.kind) {
    case 'cidr':
      return [{ prefix: plainAddress(peer.cidr), bits: peer.cidr.length }];
    case 'prefixList':
      return model.prefixLists
        .get(peer.prefixListId)!
        .entries.map(({ cidr }) => ({ prefix: plainAddress(cidr), bits: cidr.length }));
    case 'group':
      return [...model.interfaces.values()]
        .filter(({ groupIds }) => groupIds.includes(peer.groupId))
        .flatMap(({ addresses }) => addresses)
        .map((address) => ({
          prefix: plainAddress(address),
          bits: address.family === 4 ? 32 : 128,
        }));
    case 'dns':
      return [];
  }
}

export function plainAddress(address: Pick<Address, 'family' | 'words'>): string {
  const words = address.family === 4 ? [address.words[0]] : [...address.words];
  return words
    .flatMap((word) => [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255])
    .map((byte) => String.fromCharCode(byte))
    .join('');
}

/** Every rule that admits it. `remote` is the address on the other side. */
export function admittingRules(
  rules: readonly PlainRule[],
  question: Question,
  remote: string,
): Rule[] {
  return rules
    .filter(
      ({ rule, peers }) =>
        admitsProtocol(rule, question) &&
        peers.some(({ prefix, bits }) => startsAlike(prefix, remote, bits)),
    )
    .map(({ rule }) => rule);
}

/** As admittingRules, where one is enough. */
export function isAdmitted(
  rules: readonly PlainRule[],
  question: Question,
  remote: string,
): boolean {
  return rules.some(
    ({ rule, peers }) =>
      admitsProtocol(rule, question) &&
      peers.some(({ prefix, bits }) => startsAlike(prefix, remote, bits)),
  );
}

/** docs/howto/audit.md: whether it passes at a gate though no rule admits it. */
export function isAudited(
  own: PlainInterface,
  gate: 'ingress' | 'egress',
  question: Question,
  remote: string,
): boolean {
  const ofGate = own.audits.filter(({ rule }) => rule.direction === gate);
  return own.isAudited || isAdmitted(ofGate, question, remote);
}

function admitsProtocol(rule: Rule, packet: Question): boolean {
  if (rule.protocol === -1) return true;
  if (rule.protocol !== packet.protocol) return false;
  if (packet.protocol === 6 || packet.protocol === 17)
    return rule.fromPort <= packet.dstPort && packet.dstPort <= rule.toPort;
  const { icmp } = packet;
  if (icmp === undefined) return true;
  return (
    (rule.fromPort === -1 || rule.fromPort === icmp.type) &&
    (rule.toPort === -1 || rule.toPort === icmp.code)
  );
}

function startsAlike(prefix: string, address: string, bits: number): boolean {
  if (prefix.length !== address.length) return false;
  const bytes = Math.floor(bits / 8);
  for (let i = 0; i < bytes; i++) if (prefix.charCodeAt(i) !== address.charCodeAt(i)) return false;
  const left = 8 - (bits % 8);
  if (left === 8) return true;
  return prefix.charCodeAt(bytes) >> left === address.charCodeAt(bytes) >> left;
}

/** docs/conntrack.md, "Untracked flows": asked of the flow's ports, for each family by itself. */
export function isUntracked(
  own: PlainInterface,
  packet: Pick<Question, 'family' | 'protocol'>,
  localPort: number,
  remotePort: number,
): boolean {
  if (own.isAlwaysTracked || (packet.protocol !== 6 && packet.protocol !== 17)) return false;
  const isEverywhere = ({ rule }: PlainRule): boolean =>
    rule.peer.kind === 'cidr' &&
    rule.peer.cidr.length === 0 &&
    rule.peer.cidr.family === packet.family &&
    (rule.protocol === -1 || rule.protocol === packet.protocol);
  const isOpen = (rules: readonly PlainRule[], from: number, to: number): boolean =>
    rules.some(
      (one) =>
        isEverywhere(one) &&
        (one.rule.protocol === -1 || (one.rule.fromPort <= from && to <= one.rule.toPort)),
    );
  return (
    (isOpen(own.ingress, localPort, localPort) && isOpen(own.egress, 0, 65535)) ||
    (isOpen(own.egress, remotePort, remotePort) && isOpen(own.ingress, 0, 65535))
  );
}
